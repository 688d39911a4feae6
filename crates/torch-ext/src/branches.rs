//! Independent parts of a network side by side: each on one thread, forward and backward.
//!
//! torch divides each operator among its threads, which wait for each other at its end. In a small network an operator
//! takes microseconds, and most of the time of two threads is spent waiting. A network of several parts that do not
//! depend on each other, such as one grader for each plane, is better divided by part: the threads meet once forward and
//! once backward. The results have the bits of one thread.
//!
//! Branches must not draw random numbers: torch's generator is shared, and the order of draws would be random.

use std::any::Any;
use std::os::raw::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use tch::Tensor;

use crate::error::check;
use crate::{Result, autocast, ffi, layout};

/// Work that one thread does.
pub type Branch<'a, R> = Box<dyn FnOnce() -> R + Send + 'a>;

/// Whether `count` branches are run side by side: torch has more than one thread and not more than there are branches
/// (more threads are better used within the operators), autocast is off, and torch's OpenMP was found.
#[must_use]
pub fn fits(count: usize) -> bool {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(0);
    // SAFETY: it takes nothing.
    (2..=count).contains(&threads) && !autocast::is_on_cpu() && unsafe { ffi::te_branches_known() } != 0
}

/// A branch that is still to be run, or has been.
enum State<'a, R> {
    Waiting(Branch<'a, R>),
    Done(std::result::Result<R, Box<dyn Any + Send>>),
    Running,
}

type States<'a, R> = Vec<Mutex<State<'a, R>>>;

extern "C" fn run_one<R: Send>(states: *const c_void, branch: i64) {
    // SAFETY: `run` passes its states, which live until all branches have ended.
    let states = unsafe { &*states.cast::<States<'_, R>>() };
    let Some(state) = usize::try_from(branch).ok().and_then(|branch| states.get(branch)) else { return };
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if let State::Waiting(work) = std::mem::replace(&mut *state, State::Running) {
        *state = State::Done(catch_unwind(AssertUnwindSafe(work)));
    }
}

/// Runs branches on torch's threads, with the caller's setting of autograd, and returns their results in order.
///
/// # Errors
/// libtorch's, when it cannot start them.
///
/// # Panics
/// When a branch panics, with its panic.
pub fn run<R: Send>(branches: Vec<Branch<'_, R>>) -> Result<Vec<R>> {
    let states: States<'_, R> = branches.into_iter().map(|branch| Mutex::new(State::Waiting(branch))).collect();
    // SAFETY: `run_one` gets the states that it expects.
    check(unsafe { ffi::te_branches(states.len() as i64, run_one::<R>, (&raw const states).cast()) })?;
    let ended = states.into_iter().map(|state| match state.into_inner().unwrap_or_else(PoisonError::into_inner) {
        State::Done(Ok(result)) => result,
        State::Done(Err(panic)) => resume_unwind(panic),
        State::Waiting(_) | State::Running => unreachable!("every branch has ended"),
    });
    Ok(ended.collect())
}

/// Cuts the graph at the results of branches: a backward pass through the returned tensors runs one through each
/// branch, side by side. The branches must not share a tensor that needs a gradient.
///
/// # Shapes
/// Those of the results; the values are the same.
///
/// # Errors
/// libtorch's.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use torch_ext::branches;
///
/// let cpu = (Kind::Float, Device::Cpu);
/// let leaves = [Tensor::ones([2], cpu).set_requires_grad(true), Tensor::ones([3], cpu).set_requires_grad(true)];
/// let joined = branches::join(&[&leaves[0] * 2.0, &leaves[1] * 3.0])?;
/// (joined[0].sum(Kind::Float) + joined[1].sum(Kind::Float)).backward();
/// assert_eq!(leaves[1].grad(), Tensor::ones([3], cpu) * 3.0);
/// # Ok::<(), torch_ext::Error>(())
/// ```
pub fn join(results: &[Tensor]) -> Result<Vec<Tensor>> {
    // SAFETY: it takes nothing.
    let is_known = unsafe { ffi::te_branches_known() } != 0;
    if !is_known || !results.iter().any(Tensor::requires_grad) {
        return Ok(results.iter().map(Tensor::shallow_clone).collect());
    }
    let tensors: Vec<_> = results.iter().map(Tensor::as_ptr).collect();
    let mut out = vec![std::ptr::null_mut(); tensors.len()];
    // SAFETY: the tensors live through the call; `out` has a place for each new tensor, which we then own.
    check(unsafe { ffi::te_branches_join(tensors.len() as i64, tensors.as_ptr().cast(), out.as_mut_ptr()) })?;
    Ok(out.into_iter().map(layout::adopt).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_kernels::testing::noise;

    /// A small network of its own for each branch: result of a loss, and all gradients.
    fn trained(side_by_side: bool) -> Vec<Tensor> {
        let leaf = |shape: &[i64], seed: f64| noise(shape, seed).set_requires_grad(true);
        let leaves: Vec<[Tensor; 2]> =
            (0..3).map(|n| [leaf(&[16, 1, 3, 3], f64::from(n)), leaf(&[24, 16, 3, 3], 0.5 + f64::from(n))]).collect();
        let forward = |[first, second]: &[Tensor; 2], images: i64| {
            let x = layout::channels_last(&noise(&[images, 1, 24, 24], 0.7)).unwrap();
            let x = x.conv2d::<Tensor>(first, None, [2, 2], [1, 1], [1, 1], 1).relu();
            x.conv2d::<Tensor>(second, None, [1, 1], [1, 1], [1, 1], 1).mean_dim([2i64, 3].as_slice(), false, None)
        };
        let work = leaves.iter().zip([20, 40, 40]).map(|(leaves, images)| {
            let leaves = leaves.each_ref().map(Tensor::shallow_clone);
            Box::new(move || forward(&leaves, images)) as Branch<'_, Tensor>
        });
        let results = match side_by_side {
            true => join(&run(work.collect()).unwrap()).unwrap(),
            false => work.map(|work| work()).collect(),
        };
        let loss = results.iter().map(|result| result.square().mean(None)).reduce(|sum, part| sum + part).unwrap();
        loss.backward();
        leaves.iter().flatten().map(Tensor::grad).chain([loss.detach()]).collect()
    }

    #[test]
    fn results_and_gradients_have_the_bits_of_one_thread() {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        let one = trained(false);
        for threads in [2, 3] {
            tch::set_num_threads(threads);
            assert!(fits(3));
            for _ in 0..5 {
                assert_eq!(trained(true), one, "{threads} threads");
            }
            assert_eq!(tch::get_num_threads(), threads);
        }
        tch::set_num_threads(before);
    }

    #[test]
    fn a_panic_in_a_branch_reaches_the_caller() {
        let branches: Vec<Branch<'_, i32>> = vec![Box::new(|| 1), Box::new(|| panic!("of branch 1"))];
        let panic = catch_unwind(AssertUnwindSafe(|| run(branches))).unwrap_err();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "of branch 1");
    }

    #[test]
    fn autograd_is_off_in_the_branches_if_it_is_off_for_the_caller() {
        let leaf = noise(&[4], 0.1).set_requires_grad(true);
        let double = |leaf: &Tensor| {
            let leaf = leaf.shallow_clone();
            Box::new(move || (leaf * 2.0).requires_grad()) as Branch<'_, bool>
        };
        let both = || run(vec![double(&leaf), double(&leaf)]).unwrap();
        assert_eq!(both(), [true, true]);
        assert_eq!(tch::no_grad(both), [false, false]);
    }
}
