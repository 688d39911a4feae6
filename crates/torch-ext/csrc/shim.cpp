// A C interface to the parts of libtorch that tch leaves out. Functions return null, or an error message that the caller
// frees with te_free; no exception reaches the caller. Tensors are the `at::Tensor*` of torch-sys.
//
// CUDA's own headers are not included: the allocator interface for any device works in builds with and without CUDA.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/TensorIterator.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>
#include <cstring>

#include "guarded.h"
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#define TE_AVX512 1
#include <immintrin.h>
#endif

namespace {

at::Tensor& tensor(void* pointer) { return *static_cast<at::Tensor*>(pointer); }

std::optional<at::Tensor> maybe(void* pointer) {
  return pointer ? std::optional<at::Tensor>(tensor(pointer)) : std::nullopt;
}

at::DeviceType device_type(int cuda) { return cuda ? at::kCUDA : at::kCPU; }

c10::DeviceAllocator* cuda_allocator() {
  TORCH_CHECK(at::hasCUDA(), "this torch sees no CUDA device");
  at::globalContext().lazyInitDevice(at::kCUDA);
  return c10::getDeviceAllocator(at::kCUDA);
}

}  // namespace

extern "C" {

void te_free(char* text) { free(text); }

// --- autocast ---------------------------------------------------------------------------------------

char* te_get_autocast(int cuda, int* enabled, int* dtype) {
  return guarded([&] {
    *enabled = at::autocast::is_autocast_enabled(device_type(cuda));
    *dtype = static_cast<int>(at::autocast::get_autocast_dtype(device_type(cuda)));
  });
}

char* te_set_autocast(int cuda, int enabled, int dtype) {
  return guarded([&] {
    at::autocast::set_autocast_dtype(device_type(cuda), static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(device_type(cuda), enabled != 0);
  });
}

// Counts the regions that share converted weights; at the end of the last one the converted weights are dropped.
char* te_nest_autocast(int deeper) {
  return guarded([&] {
    if (deeper) {
      at::autocast::increment_nesting();
    } else if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
  });
}

// --- inference mode ---------------------------------------------------------------------------------

char* te_inference_enter(void** guard) {
  return guarded([&] { *guard = new c10::InferenceMode(true); });
}

// The end of inference mode restores all dispatch keys of its beginning, autocast's among them. Autocast has its own
// guards and stays what it is.
char* te_inference_leave(void* guard) {
  return guarded([&] {
    const bool cpu = at::autocast::is_autocast_enabled(at::kCPU), cuda = at::autocast::is_autocast_enabled(at::kCUDA);
    delete static_cast<c10::InferenceMode*>(guard);
    at::autocast::set_autocast_enabled(at::kCPU, cpu);
    at::autocast::set_autocast_enabled(at::kCUDA, cuda);
  });
}

// --- determinism and precision ----------------------------------------------------------------------

// In this order: deterministic algorithms, warning only, cuDNN, oneDNN, memory filled before use; cuDNN's benchmarking;
// TF32 in matrix products, TF32 in convolutions. src/determinism.rs has the same order.
char* te_get_determinism(int out[8]) {
  return guarded([&] {
    const auto& context = at::globalContext();
    const bool settings[8] = {context.deterministicAlgorithms(),
                              context.deterministicAlgorithmsWarnOnly(),
                              context.deterministicCuDNN(),
                              context.deterministicMkldnn(),
                              context.deterministicFillUninitializedMemory(),
                              context.benchmarkCuDNN(),
                              context.allowTF32CuBLAS(),
                              context.allowTF32CuDNN()};
    for (int place = 0; place < 8; ++place) out[place] = settings[place];
  });
}
char* te_set_determinism(const int settings[8]) {
  return guarded([&] {
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(settings[0] != 0, settings[1] != 0);
    context.setDeterministicCuDNN(settings[2] != 0);
    context.setDeterministicMkldnn(settings[3] != 0);
    context.setDeterministicFillUninitializedMemory(settings[4] != 0);
    context.setBenchmarkCuDNN(settings[5] != 0);
    context.setAllowTF32CuBLAS(settings[6] != 0);
    context.setAllowTF32CuDNN(settings[7] != 0);
  });
}

// --- memory -----------------------------------------------------------------------------------------

char* te_cuda_memory(int device, int64_t out[6]) {
  return guarded([&] {
    auto* allocator = cuda_allocator();
    auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    auto sum = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    auto memory = allocator->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
    out[0] = stats.allocated_bytes[sum].current;
    out[1] = stats.allocated_bytes[sum].peak;
    out[2] = stats.reserved_bytes[sum].current;
    out[3] = stats.reserved_bytes[sum].peak;
    out[4] = static_cast<int64_t>(memory.first);
    out[5] = static_cast<int64_t>(memory.second);
  });
}
char* te_cuda_reset_peak(int device) {
  return guarded([&] { cuda_allocator()->resetPeakStats(static_cast<c10::DeviceIndex>(device)); });
}
char* te_cuda_empty_cache() {
  return guarded([&] { cuda_allocator()->emptyCache(); });
}
int te_keep_freed_pages() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, -1) && mallopt(M_TOP_PAD, 64 << 20);
#else
  return 0;
#endif
}

// --- layout -----------------------------------------------------------------------------------------

char* te_channels_last(void* in, void** out) {
  return guarded([&] {
    auto packed = tensor(in).contiguous(at::MemoryFormat::ChannelsLast);
    // One channel has the same order in memory either way. torch takes it for channels-first, and so all that is
    // computed from it, unless its strides say channels-last.
    if (packed.size(1) == 1)
      packed = packed.as_strided(packed.sizes(), {packed.size(2) * packed.size(3), 1, packed.size(3), 1});
    *out = new at::Tensor(packed);
  });
}
char* te_pin_memory(void* in, void** out) {
  return guarded([&] {
    *out = new at::Tensor(tensor(in).pin_memory());
  });
}

char* te_is_channels_last(void* in, int* out) {
  return guarded([&] {
    *out = tensor(in).layout() == at::kStrided && tensor(in).is_contiguous(at::MemoryFormat::ChannelsLast);
  });
}

// --- fused kernels ----------------------------------------------------------------------------------

static const char* ACTIVATIONS[] = {"none", "relu", "swish", "gelu", "sigmoid"};

#ifdef TE_AVX512
// x/(1 + e^-x) in place. oneDNN's takes as long as the convolution before it, because its exponential is exact to the
// last bit. Here e^-x is 2^n·2^f with f in [-1/2, 1/2], and 2^f the first seven terms of its Taylor series: the error
// is below 1e-6 of x's magnitude.
__attribute__((target("avx512f"))) static void silu_avx512(float* x, int64_t count) {
  const float series[] = {1.0f,          6.931471806e-1f, 2.402265070e-1f, 5.550410866e-2f,
                          9.618129108e-3f, 1.333355815e-3f, 1.540353040e-4f};
  for (int64_t k = 0; k < count; k += 16) {
    const __mmask16 mask = count - k >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << (count - k)) - 1);
    const __m512 value = _mm512_maskz_loadu_ps(mask, x + k);
    __m512 power = _mm512_mul_ps(value, _mm512_set1_ps(-1.442695041f));
    // in this order a NaN stays a NaN
    power = _mm512_min_ps(_mm512_set1_ps(126.0f), _mm512_max_ps(_mm512_set1_ps(-126.0f), power));
    const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 part = _mm512_sub_ps(power, whole);
    __m512 sum = _mm512_set1_ps(series[6]);
    for (int term = 5; term >= 0; --term) sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(series[term]));
    const __m512 exponential = _mm512_scalef_ps(sum, whole);
    _mm512_mask_storeu_ps(x + k, mask, _mm512_div_ps(value, _mm512_add_ps(exponential, _mm512_set1_ps(1.0f))));
  }
}
#endif

// A second pass over the result is faster up to eight megabytes: measured on two cores with 32 MB of shared cache.
static const int64_t OWN_SILU_VALUES = 2 << 20;

// Only called on a processor with AVX-512.
static void own_silu_(at::Tensor& x) {
#ifdef TE_AVX512
  // torch's iterator runs it on torch's threads
  auto iterator = at::TensorIterator::unary_op(x, x);
  iterator.for_each([](char** data, const int64_t* strides, int64_t count) {
    if (strides[0] == sizeof(float)) return silu_avx512(reinterpret_cast<float*>(data[0]), count);
    for (int64_t k = 0; k < count; ++k) silu_avx512(reinterpret_cast<float*>(data[0] + k * strides[0]), 1);
  });
#else
  at::silu_(x);
#endif
}

static c10::List<std::optional<at::Scalar>> no_scalars() { return c10::List<std::optional<at::Scalar>>(); }

char* te_conv2d_fused(void* x, void* weight, void* bias, const int64_t* stride, const int64_t* padding,
                      int64_t groups, int activation, int own_kernels, void** out) {
  return guarded([&] {
    TORCH_CHECK(activation >= 0 && activation < 5, "no such activation: ", activation);
    static auto op = c10::Dispatcher::singleton()
                         .findSchemaOrThrow("mkldnn::_convolution_pointwise", "")
                         .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                           at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                                           std::string_view, c10::List<std::optional<at::Scalar>>,
                                           std::optional<std::string_view>)>();
    const int64_t dilation[2] = {1, 1};
    std::optional<std::string_view> algorithm;
    auto scalars = no_scalars();
    if (activation == 3) algorithm = "none";
    auto run = [&](const char* name) {
      return op.call(tensor(x), tensor(weight), maybe(bias), {padding, 2}, {stride, 2}, {dilation, 2}, groups, name,
                     scalars, algorithm);
    };
    // a pass of its own is faster while the result is still in the cache
    const auto& input = tensor(x);
    const int64_t values = input.size(0) * tensor(weight).size(0) * input.size(2) * input.size(3) / (stride[0] * stride[1]);
    if (activation == 2 && own_kernels && input.scalar_type() == at::kFloat && values < OWN_SILU_VALUES) {
      auto result = run("none");
      own_silu_(result);
      *out = new at::Tensor(std::move(result));
    } else {
      *out = new at::Tensor(run(ACTIVATIONS[activation]));
    }
  });
}

char* te_conv2d_add(void* x, void* other, void* weight, void* bias, const int64_t* stride, const int64_t* padding,
                    int64_t groups, int relu, void** out) {
  return guarded([&] {
    static auto op = c10::Dispatcher::singleton()
                         .findSchemaOrThrow("mkldnn::_convolution_pointwise", "binary")
                         .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                           const std::optional<at::Tensor>&, at::IntArrayRef, at::IntArrayRef,
                                           at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                                           std::optional<std::string_view>, c10::List<std::optional<at::Scalar>>,
                                           std::optional<std::string_view>)>();
    const int64_t dilation[2] = {1, 1};
    std::optional<std::string_view> unary;
    if (relu) unary = "relu";
    *out = new at::Tensor(op.call(tensor(x), tensor(other), tensor(weight), maybe(bias), {padding, 2}, {stride, 2},
                                  {dilation, 2}, groups, "add", std::nullopt, unary, no_scalars(), std::nullopt));
  });
}

char* te_conv2d_reorder(void* weight, const int64_t* stride, const int64_t* padding, int64_t groups,
                        const int64_t* input_size, void** out) {
  return guarded([&] {
    static auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "")
            .typed<at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                              at::OptionalIntArrayRef)>();
    const int64_t dilation[2] = {1, 1};
    at::OptionalIntArrayRef size;
    if (input_size) size = at::IntArrayRef(input_size, 4);
    *out = new at::Tensor(op.call(tensor(weight), {padding, 2}, {stride, 2}, {dilation, 2}, groups, size));
  });
}

char* te_adamw(void* parameter, void* gradient, void* mean, void* square, void* step, double lr, double beta1,
               double beta2, double weight_decay, double eps, double gradient_divisor) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> p{tensor(parameter)}, g{tensor(gradient)}, m{tensor(mean)}, v{tensor(square)}, none,
        steps{tensor(step)};
    std::optional<at::Tensor> divisor;
    if (gradient_divisor != 1.0) divisor = at::full({}, gradient_divisor, p[0].options().dtype(at::kFloat));
    // The kernel reads the number of this step, counted from 1; it does not count itself.
    at::_fused_adamw_(p, g, m, v, none, steps, lr, beta1, beta2, weight_decay, eps, false, false, divisor,
                      std::nullopt);
  });
}

}  // extern "C"
