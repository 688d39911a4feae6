// Runs kernels of our own on torch's threads.
#pragma once
#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>

// at::parallel_for is a template, and serial in a file that is compiled without OpenMP. torch's iterator, here over one
// byte for each unit, is compiled inside libtorch with whatever torch uses.
template <class F>
void on_torchs_threads(int64_t units, const F& work) {
  at::Tensor places = at::empty({units}, at::kByte);
  const char* start = static_cast<const char*>(places.data_ptr());
  auto iterator = at::TensorIterator::borrowing_nullary_op(places);
  iterator.for_each(
      [&](char** data, const int64_t*, int64_t count) { work(data[0] - start, data[0] - start + count); }, 1);
}

// Functions written in Rust that compute a job in phases of units: Kernels in src/shim_types.rs.
template <class Job, class Plan>
struct KernelsOf {
  void (*plan)(const Job*, Plan*);
  void (*run)(const Job*, int64_t phase, int64_t first, int64_t end);
};

template <class Job, class Plan, size_t Phases>
void run_phases(const KernelsOf<Job, Plan>& kernels, const Job& job, const int64_t (&units)[Phases]) {
  for (size_t phase = 0; phase < Phases; ++phase)
    if (units[phase] > 0)
      on_torchs_threads(units[phase], [&](int64_t first, int64_t end) { kernels.run(&job, phase, first, end); });
}
