// A 3×3 convolution with padding 1 as a function of autograd. The computation is in src/conv3x3; this file handles
// torch's tensors, threads and graph.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "shim_types.h"
#include "threads.h"

namespace {

struct Job {
  int64_t kind, stride, batch, height, width, channels_in, channels_out;
  float *x, *weight, *y, *scratch;
};

struct Plan {
  int64_t scratch;
  int64_t units[2];
};

using Kernels = KernelsOf<Job, Plan>;

CHECK_LAYOUT_CONV3X3_JOB(Job);
CHECK_LAYOUT_CONV3X3_PLAN(Plan);
CHECK_LAYOUT_KERNELS(Kernels);

enum Kind { Forward = 0, Input = 1, Weight = 2 };

float* data(const at::Tensor& tensor) { return tensor.data_ptr<float>(); }

void compute(const Kernels& kernels, Kind kind, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y,
             int64_t stride) {
  Job job{kind,      stride,  x.size(0),    x.size(2), x.size(3), x.size(1),
          y.size(1), data(x), data(weight), data(y),   nullptr};
  if (x.size(0) == 0) {
    if (kind == Weight) weight.zero_();
    return;
  }
  Plan plan;
  kernels.plan(&job, &plan);
  const at::Tensor scratch = at::empty({plan.scratch}, x.options().memory_format(at::MemoryFormat::Contiguous));
  job.scratch = data(scratch);
  run_phases(kernels, job, plan.units);
}

at::Tensor empty(at::IntArrayRef size, const at::Tensor& like) {
  return at::empty(size, like.options().memory_format(at::MemoryFormat::ChannelsLast));
}

at::Tensor forward_of(const Kernels& kernels, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  auto results = [&](int64_t size) { return (size + stride - 1) / stride; };
  auto y = empty({x.size(0), weight.size(0), results(x.size(2)), results(x.size(3))}, x);
  compute(kernels, Forward, x, weight, y, stride);
  return y;
}

struct Conv3x3 : torch::autograd::Function<Conv3x3> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t stride, int64_t kernels) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["kernels"] = kernels;
    return forward_of(*reinterpret_cast<const Kernels*>(kernels), x, weight, stride);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "this convolution has no second derivative");
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const int64_t stride = context->saved_data["stride"].toInt();
    const auto& kernels = *reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor y = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    TORCH_CHECK(y.scalar_type() == at::kFloat && y.device().is_cpu(), "the gradient is not fp32 on the CPU");
    at::Tensor x_gradient, weight_gradient;
    if (context->needs_input_grad(0)) {
      x_gradient = empty(x.sizes(), x);
      compute(kernels, Input, x_gradient, weight, y, stride);
    }
    if (context->needs_input_grad(1)) {
      weight_gradient = empty(weight.sizes(), weight);
      compute(kernels, Weight, x, weight_gradient, y, stride);
    }
    return {x_gradient, weight_gradient, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

extern "C" char* te_conv3x3(void* x, void* weight, int64_t stride, const void* kernels, void** out) {
  return guarded([&] {
    const at::Tensor &input = *static_cast<at::Tensor*>(x), &kernel = *static_cast<at::Tensor*>(weight);
    const bool recorded = at::GradMode::is_enabled() && (input.requires_grad() || kernel.requires_grad());
    *out = new at::Tensor(recorded ? Conv3x3::apply(input, kernel, stride, reinterpret_cast<int64_t>(kernels))
                                   : forward_of(*static_cast<const Kernels*>(kernels), input, kernel, stride));
  });
}
