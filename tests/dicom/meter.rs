//! Counts the memory that a thread takes.

use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts what the current thread has taken, and the most it had.
fn count(bytes: isize) {
    // a thread that is ending has no counters left
    let _ = TAKEN.try_with(|taken| {
        taken.set(taken.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(taken.get())));
    });
}

// A `#[global_allocator]` would count nothing here: with `-Cprefer-dynamic` the standard library keeps its own.
// So the C library's functions below it are replaced; glibc finds these first.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(number: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(pointer: *mut c_void);
}

fn size(pointer: *mut c_void) -> isize {
    // SAFETY: null, or a block that the functions below returned and that is not freed.
    unsafe { libc::malloc_usable_size(pointer) as isize }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    // SAFETY: the caller's promises are passed on, here and below.
    let pointer = unsafe { __libc_malloc(bytes) };
    count(size(pointer));
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(number: usize, bytes: usize) -> *mut c_void {
    let pointer = unsafe { __libc_calloc(number, bytes) };
    count(size(pointer));
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(pointer: *mut c_void, bytes: usize) -> *mut c_void {
    let before = size(pointer);
    let pointer = unsafe { __libc_realloc(pointer, bytes) };
    // a block that was refused stays what it was
    if !pointer.is_null() || bytes == 0 {
        count(size(pointer) - before);
    }
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(pointer: *mut c_void) {
    count(-size(pointer));
    unsafe { __libc_free(pointer) };
}

/// The answer of `work`, and the most bytes that this thread took for it beyond what it had before.
pub(crate) fn metered<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = TAKEN.get();
    MOST.set(before);
    let answer = work();
    (answer, MOST.get() - before)
}
