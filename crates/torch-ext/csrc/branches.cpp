// Independent parts of a network on torch's threads, forward and backward. src/branches.rs says what for.
#include <ATen/ATen.h>
#include <ATen/ThreadLocalState.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#if defined(__linux__)
#include <dlfcn.h>
#endif

#include "guarded.h"
#include "threads.h"

namespace {

// OpenMP's functions as libtorch sees them. at::set_num_threads would also change what other threads begin with.
struct OpenMp {
  void (*set_threads)(int) = nullptr;
  int (*threads)() = nullptr;

  OpenMp() {
#if defined(__linux__)
    if (void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD)) {
      set_threads = reinterpret_cast<void (*)(int)>(dlsym(torch, "omp_set_num_threads"));
      threads = reinterpret_cast<int (*)()>(dlsym(torch, "omp_get_max_threads"));
    }
#endif
  }

  bool is_known() const { return set_threads && threads; }
};

const OpenMp& open_mp() {
  static const OpenMp found;
  return found;
}

// Inside a parallel region oneDNN would still plan for all threads, and get one.
class OneThread {
 public:
  OneThread() : before(open_mp().threads()) { open_mp().set_threads(1); }
  ~OneThread() { open_mp().set_threads(before); }
  OneThread(const OneThread&) = delete;

 private:
  int before;
};

// Each branch on one thread, with the caller's thread-local settings (autograd on or off).
template <class F>
void each_branch(int64_t count, const F& work) {
  const at::ThreadLocalState state;
  on_torchs_threads(count, [&](int64_t first, int64_t end) {
    const at::ThreadLocalStateGuard guard(state);
    const OneThread one;
    for (int64_t branch = first; branch < end; ++branch) work(branch);
  });
}

// Cuts the graph at the branches' results, so that one backward pass becomes one of each branch.
struct Join : torch::autograd::Function<Join> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor&,
                                                int64_t pointer) {
    const auto& results = *reinterpret_cast<const std::vector<at::Tensor>*>(pointer);
    context->saved_data["results"] = results;
    context->set_materialize_grads(false);
    torch::autograd::variable_list joined;
    for (const auto& result : results) joined.push_back(result.detach().clone());
    return joined;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "branches have no second derivative");
    const auto results = context->saved_data["results"].toTensorVector();
    context->saved_data.erase("results");
    each_branch(static_cast<int64_t>(results.size()), [&](int64_t branch) {
      if (gradients[branch].defined() && results[branch].requires_grad())
        torch::autograd::backward({results[branch]}, {gradients[branch]});
    });
    return {at::Tensor(), at::Tensor()};
  }
};

}  // namespace

// Whether branches can run side by side here.
extern "C" int te_branches_known() { return open_mp().is_known(); }

extern "C" char* te_branches(int64_t count, void (*run)(const void* context, int64_t branch), const void* context) {
  return guarded([&] { each_branch(count, [&](int64_t branch) { run(context, branch); }); });
}

// Replaces each of the tensors by one of the same values, behind which the graph is that of `Join`.
extern "C" char* te_branches_join(int64_t count, void* const* tensors, void** out) {
  return guarded([&] {
    std::vector<at::Tensor> results;
    for (int64_t branch = 0; branch < count; ++branch) results.push_back(*static_cast<at::Tensor*>(tensors[branch]));
    // an input that needs a gradient, as a function of autograd must have one
    const at::Tensor needed = at::empty({0}).requires_grad_(true);
    const auto joined = Join::apply(needed, reinterpret_cast<int64_t>(&results));
    for (int64_t branch = 0; branch < count; ++branch) out[branch] = new at::Tensor(joined[branch]);
  });
}
