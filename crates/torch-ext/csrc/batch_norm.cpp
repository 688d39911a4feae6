// Batch norm in training, with shortcut and activation, as a function of autograd. The computation is in
// src/batch_norm; this file handles torch's tensors, threads and graph.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "shim_types.h"
#include "threads.h"

namespace {

struct Job {
  int64_t kind, activation, rows, channels;
  double momentum, eps;
  float *x, *shortcut, *y, *gradient, *masked, *x_gradient;
  float *weight, *bias, *running_mean, *running_var, *weight_gradient, *bias_gradient;
  float *saved, *scratch;
};

struct Plan {
  int64_t saved, scratch;
  int64_t units[3];
};

using Kernels = KernelsOf<Job, Plan>;

CHECK_LAYOUT_BATCH_NORM_JOB(Job);
CHECK_LAYOUT_BATCH_NORM_PLAN(Plan);
CHECK_LAYOUT_KERNELS(Kernels);

// All arguments that are not tensors.
struct Setting {
  int64_t activation;
  double momentum, eps;
  const Kernels* kernels;
};

enum Kind { Forward = 0, Backward = 1 };

float* data(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

Job job_of(Kind kind, const at::Tensor& x, const Setting& setting) {
  Job job{};
  job.kind = kind;
  job.activation = setting.activation;
  job.rows = x.size(0) * x.size(2) * x.size(3);
  job.channels = x.size(1);
  job.momentum = setting.momentum;
  job.eps = setting.eps;
  job.x = data(x);
  return job;
}

at::Tensor floats(int64_t count, const at::Tensor& like) {
  return at::empty({count}, like.options().memory_format(at::MemoryFormat::Contiguous));
}

at::Tensor channels_last_like(const at::Tensor& x) {
  return at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::ChannelsLast));
}

void run(Job& job, const Plan& plan, const Setting& setting, const at::Tensor& like) {
  const at::Tensor scratch = floats(plan.scratch, like);
  job.scratch = data(scratch);
  run_phases(*setting.kernels, job, plan.units);
}

// The result, and the statistics that the gradient needs.
std::pair<at::Tensor, at::Tensor> forward_of(const at::Tensor& x, const at::Tensor& shortcut, const at::Tensor& weight,
                                             const at::Tensor& bias, const at::Tensor& running_mean,
                                             const at::Tensor& running_var, const Setting& setting) {
  Job job = job_of(Forward, x, setting);
  Plan plan;
  setting.kernels->plan(&job, &plan);
  const at::Tensor saved = floats(plan.saved, x), y = channels_last_like(x);
  job.shortcut = data(shortcut);
  job.y = data(y);
  job.weight = data(weight);
  job.bias = data(bias);
  job.running_mean = data(running_mean);
  job.running_var = data(running_var);
  job.saved = data(saved);
  run(job, plan, setting, x);
  return {y, saved};
}

struct BatchNorm : torch::autograd::Function<BatchNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& added, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& running_mean, const at::Tensor& running_var, int64_t setting) {
    const at::Tensor shortcut = added.value_or(at::Tensor());
    const auto& numbers = *reinterpret_cast<const Setting*>(setting);
    const auto [y, saved] = forward_of(x, shortcut, weight, bias, running_mean, running_var, numbers);
    // with a shortcut the activation's slope is read off the result; without one it follows from x
    const bool needs_result = shortcut.defined() && numbers.activation != 0;
    context->save_for_backward({x, weight, saved, needs_result ? y : at::Tensor()});
    context->saved_data["has_shortcut"] = shortcut.defined();
    context->saved_data["activation"] = numbers.activation;
    context->saved_data["kernels"] = reinterpret_cast<int64_t>(numbers.kernels);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "this batch norm has no second derivative");
    const auto tensors = context->get_saved_variables();
    const at::Tensor &x = tensors[0], &weight = tensors[1], &saved = tensors[2], &y = tensors[3];
    const Setting setting{context->saved_data["activation"].toInt(), 0, 0,
                          reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt())};
    const at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    TORCH_CHECK(gradient.sizes() == x.sizes() && gradient.scalar_type() == at::kFloat && gradient.device().is_cpu(),
                "the gradient is not fp32 on the CPU in the result's shape");
    const at::Tensor x_gradient = channels_last_like(x);
    const at::Tensor weight_gradient = floats(x.size(1), x), bias_gradient = floats(x.size(1), x);
    // the gradient before the activation, which is also the shortcut's
    const bool has_shortcut = context->saved_data["has_shortcut"].toBool();
    const at::Tensor masked = setting.activation == 0 ? gradient : has_shortcut ? channels_last_like(x) : x_gradient;
    Job job = job_of(Backward, x, setting);
    Plan plan;
    setting.kernels->plan(&job, &plan);
    job.y = data(y);
    job.gradient = data(gradient);
    job.masked = data(masked);
    job.weight = data(weight);
    job.weight_gradient = data(weight_gradient);
    job.bias_gradient = data(bias_gradient);
    job.saved = data(saved);
    job.x_gradient = data(x_gradient);
    run(job, plan, setting, x);
    return {x_gradient,   has_shortcut ? masked : at::Tensor(), weight_gradient, bias_gradient, at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

extern "C" char* te_batch_norm(void* x, void* shortcut, void* const norm[4], double momentum, double eps,
                               int64_t activation, const void* kernels, void** out) {
  return guarded([&] {
    const Setting setting{activation, momentum, eps, static_cast<const Kernels*>(kernels)};
    const auto tensor = [](void* pointer) -> const at::Tensor& { return *static_cast<at::Tensor*>(pointer); };
    const at::Tensor &input = tensor(x), &weight = tensor(norm[0]), &bias = tensor(norm[1]);
    const at::Tensor &mean = tensor(norm[2]), &variance = tensor(norm[3]);
    const std::optional<at::Tensor> added = shortcut ? std::optional(tensor(shortcut)) : std::nullopt;
    const bool wanted = input.requires_grad() || (added && added->requires_grad()) || weight.requires_grad() ||
                        bias.requires_grad();
    *out = new at::Tensor(
        at::GradMode::is_enabled() && wanted
            ? BatchNorm::apply(input, added, weight, bias, mean, variance, reinterpret_cast<int64_t>(&setting))
            : forward_of(input, added.value_or(at::Tensor()), weight, bias, mean, variance, setting).first);
  });
}
