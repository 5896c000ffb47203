//! Lane: the values of a column so far, in memory of large pages.
//!
//! A read of a file that fits in memory writes about as many bytes of columns as it reads of text,
//! each for the first time. Touched page by page, 4 KiB at a time, that took up to two fifths of the
//! processor time of a read of the full household file, and the threads waited for each other in the
//! kernel. So lanes are carved from slabs, each one large page; and slabs that nobody holds any more
//! are kept for the next chunk or read, up to [`KEPT`], with the kernel told that it may have them: all but
//! [`WARM`], for telling it interrupts every processor, and these are soon wanted again.
//! The records of a batch of messages fill a third of a large page, which each batch would hold until its last column
//! is gone: their lanes lie [apart](Lanes::apart).
//!
//! `unsafe` stands here because neither `Vec` nor Arrow's own buffers can be told where to lie. What
//! it rests on: the bytes of a slab are initialised when it is made and freed when nobody holds it;
//! a lane owns its part of the slab alone; every bit pattern is a value of a [`Plain`] type.

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

/// Bytes of a slab, unless one lane needs more: a large page.
const SLAB: usize = 2 << 20;
/// Lanes of fewer bytes have their own memory.
const SMALL: usize = 16 << 10;
/// Lanes begin at multiples of this, a cache line.
const ALIGN: usize = 64;
/// Bytes of slabs that are kept though nobody holds them.
const KEPT: usize = 176 << 20;

/// Slabs of which the kernel is not told.
const WARM: usize = 16;

/// Slabs that nobody holds, those that are not lent last. Never waited for, so that a process forked meanwhile does not hang.
static FREE: Mutex<Free> = Mutex::new(Free {
    slabs: Vec::new(),
    lent: 0,
});

/// Slabs that nobody holds.
struct Free {
    slabs: Vec<Slab>,
    /// The first so many are lent.
    lent: usize,
}

impl Free {
    /// Keeps a slab; gives the one that was kept longest where more than [`WARM`] are not lent.
    fn put(&mut self, slab: Slab) -> Option<Slab> {
        self.slabs.push(slab);
        (self.slabs.len() - self.lent > WARM).then(|| self.slabs.remove(self.lent))
    }

    fn put_lent(&mut self, slab: Slab) {
        self.slabs.insert(self.lent, slab);
        self.lent += 1;
    }

    fn take(&mut self) -> Option<Slab> {
        let slab = self.slabs.pop();
        self.lent = self.lent.min(self.slabs.len());
        slab
    }
}

/// What a lane holds: any bits are a value.
pub(crate) trait Plain: ArrowNativeType {}
impl Plain for f64 {}
impl Plain for i64 {}
impl Plain for i32 {}
impl Plain for u8 {}

/// A piece of memory, initialised.
#[derive(Debug)]
struct Slab {
    at: NonNull<u8>,
    len: usize,
    mapped: bool,
}

// SAFETY: a slab is plain memory; lanes, which write to it, own disjoint parts of it.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// At least `len` bytes, not none.
    fn new(len: usize) -> Slab {
        // A lane that outgrew its room is a rare one, and has no large page for itself.
        if len > SLAB / 2
            && let Some(slab) = Slab::kept(len).or_else(|| Slab::mapped(len))
        {
            return slab;
        }
        let layout = Slab::layout(len);
        // SAFETY: the layout is not empty.
        match NonNull::new(unsafe { alloc_zeroed(layout) }) {
            Some(at) => Slab {
                at,
                len,
                mapped: false,
            },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        // No lane of a file's bytes comes near the bound on layouts.
        Layout::from_size_align(len, ALIGN).unwrap_or(Layout::new::<u64>())
    }

    /// One that was used before.
    fn kept(len: usize) -> Option<Slab> {
        let mut free = FREE.try_lock().ok().filter(|_| len <= SLAB)?;
        free.take()
    }

    /// Whole large pages; `None`: not to be had.
    fn mapped(len: usize) -> Option<Slab> {
        let len = len.next_multiple_of(SLAB);
        let at = map(len)?;
        Some(Slab {
            at,
            len,
            mapped: true,
        })
    }

    /// Leaves it to be used again; false: it is not wanted.
    fn keep(&self) -> bool {
        if self.len != SLAB {
            return false;
        }
        let Ok(mut free) = FREE.try_lock() else {
            return false;
        };
        if free.slabs.len() >= KEPT / SLAB {
            return false;
        }
        let cold = free.put(Slab { ..*self });
        drop(free);
        // Not under the lock, for which nobody waits.
        if let Some(cold) = cold {
            lend(cold.at, cold.len);
            cold.lent();
        }
        true
    }

    /// Keeps one that was lent; dropped as any other where somebody has the lock.
    fn lent(self) {
        if let Ok(mut free) = FREE.try_lock() {
            free.put_lent(self);
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: made by `new` in one of these two ways, and nobody holds it any more.
        unsafe {
            match self.mapped {
                true if self.keep() => {}
                true => unmap(self.at.as_ptr(), self.len),
                false => dealloc(self.at.as_ptr(), Slab::layout(self.len)),
            }
        }
    }
}

/// Maps `len` bytes, whole large pages, and asks for such; `None`: not to be had.
#[cfg(target_os = "linux")]
fn map(len: usize) -> Option<NonNull<u8>> {
    // SAFETY: a new private mapping; the ends cut off and the part kept lie within it.
    unsafe {
        let mut at = fresh(len)?;
        if at.align_offset(SLAB) > 0 {
            unmap(at, len);
            let all = fresh(len + SLAB)?;
            let before = all.align_offset(SLAB);
            at = all.add(before);
            unmap(all, before);
            unmap(at.add(len), SLAB - before);
        }
        // A kernel without large pages says no, and the memory is as good.
        libc::madvise(at.cast(), len, libc::MADV_HUGEPAGE);
        NonNull::new(at)
    }
}

#[cfg(target_os = "linux")]
fn fresh(len: usize) -> Option<*mut u8> {
    use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE};
    let (access, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    // SAFETY: a new mapping touches nothing that is there.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
    (at != MAP_FAILED).then_some(at.cast())
}

/// Tells the kernel that it may take the bytes away (they read as zeros then) while nobody uses them.
#[cfg(target_os = "linux")]
fn lend(at: NonNull<u8>, len: usize) {
    // SAFETY: mapped memory that nobody holds.
    unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_FREE) };
}

#[cfg(not(target_os = "linux"))]
fn map(_: usize) -> Option<NonNull<u8>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn lend(_: NonNull<u8>, _: usize) {}

/// Gives mapped memory back.
///
/// # Safety
/// It was mapped by `map`, and nobody uses it.
unsafe fn unmap(at: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: the caller's word.
        unsafe { libc::munmap(at.cast(), len) };
    }
}

/// Where a worker gets its lanes from.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    slab: Option<Arc<Slab>>,
    used: usize,
    /// Every lane has its own memory.
    apart: bool,
}

impl Lanes {
    /// For one piece that is small beside a slab and would have one to itself.
    pub(crate) fn apart() -> Lanes {
        Lanes {
            apart: true,
            ..Lanes::default()
        }
    }

    /// An empty lane with room for `capacity` values.
    pub(crate) fn lane<T: Plain>(&mut self, capacity: usize) -> Lane<T> {
        let bytes = (capacity.max(1) * size_of::<T>()).next_multiple_of(ALIGN);
        if self.apart || !(SMALL..=SLAB / 2).contains(&bytes) {
            return Lane::within(Arc::new(Slab::new(bytes)), 0, capacity);
        }
        let slab = match &self.slab {
            Some(slab) if self.used + bytes <= slab.len => slab.clone(),
            _ => self.next(),
        };
        let from = self.used;
        self.used += bytes;
        Lane::within(slab, from, capacity)
    }

    fn next(&mut self) -> Arc<Slab> {
        self.used = 0;
        // What is over of the old one goes back before a new one is looked for.
        self.slab = None;
        let slab = Arc::new(Slab::new(SLAB));
        self.slab = Some(slab.clone());
        slab
    }
}

/// Values written one after the other.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    slab: Arc<Slab>,
    at: NonNull<T>,
    len: usize,
    capacity: usize,
}

// SAFETY: a lane owns its part of the slab, as a vector owns its memory.
unsafe impl<T: Plain> Send for Lane<T> {}

impl<T: Plain> Lane<T> {
    /// The part of `slab` from byte `from` on, which the caller gives to this lane alone.
    fn within(slab: Arc<Slab>, from: usize, capacity: usize) -> Self {
        assert!(from.is_multiple_of(ALIGN) && from + capacity * size_of::<T>() <= slab.len);
        // SAFETY: within the slab, as just checked.
        let at = unsafe { slab.at.add(from) }.cast();
        Lane {
            slab,
            at,
            len: 0,
            capacity,
        }
    }

    /// Values so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets the values from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// What is there, to be read.
    pub(crate) fn values(&self) -> &[T] {
        // SAFETY: this part is the lane's alone and initialised.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    /// Room for `n` values behind what is there, to be written; [`Lane::add`] keeps them.
    pub(crate) fn room(&mut self, n: usize) -> &mut [T] {
        if self.capacity - self.len < n {
            self.grow(self.len + n);
        }
        // SAFETY: as for `values`; the room lies within the capacity.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(self.len), n) }
    }

    /// Counts `n` values of the room as written.
    pub(crate) fn add(&mut self, n: usize) {
        self.len = (self.len + n).min(self.capacity);
    }

    #[cold]
    fn grow(&mut self, least: usize) {
        let capacity = least.max(2 * self.capacity).max(ALIGN);
        let slab = Arc::new(Slab::new(
            (capacity * size_of::<T>()).next_multiple_of(ALIGN),
        ));
        let mut larger = Lane::within(slab, 0, capacity);
        larger.room(self.len).copy_from_slice(self.values());
        larger.len = self.len;
        *self = larger;
    }

    /// The values as an Arrow buffer, without a copy.
    pub(crate) fn finish(self) -> ScalarBuffer<T> {
        let bytes = self.len * size_of::<T>();
        // SAFETY: the buffer holds the slab, and the lane that could write there is gone.
        let buffer = unsafe { Buffer::from_custom_allocation(self.at.cast(), bytes, self.slab) };
        ScalarBuffer::new(buffer, 0, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write<T: Plain>(lane: &mut Lane<T>, values: &[T]) {
        lane.room(values.len()).copy_from_slice(values);
        lane.add(values.len());
    }

    #[test]
    fn lanes_hold_what_was_written_and_do_not_touch_each_other() {
        for capacity in [0, 3, 100_000] {
            let mut lanes = Lanes::default();
            let (mut a, mut b) = (lanes.lane::<i64>(capacity), lanes.lane::<i32>(capacity));
            for k in 0..100_000i64 {
                write(&mut a, &[k]);
                write(&mut b, &[-k as i32]);
            }
            a.truncate(99_999);
            assert_eq!((a.len(), b.len()), (99_999, 100_000));
            let (a, b) = (a.finish(), b.finish());
            drop(lanes);
            assert!(a.iter().copied().eq(0..99_999));
            assert!(b.iter().map(|v| -i64::from(*v)).eq(0..100_000));
        }
    }

    #[test]
    fn lanes_that_lie_apart_hold_what_they_need() {
        let mut lanes = Lanes::apart();
        let (a, b) = (lanes.lane::<i64>(8_192), lanes.lane::<i32>(8_192));
        assert_eq!((a.slab.len, b.slab.len), (8_192 * 8, 8_192 * 4));
    }

    #[test]
    fn slabs_that_are_read_are_not_written() {
        let mut lanes = Lanes::default();
        let mut all = Vec::new();
        for k in 0..200i64 {
            let mut lane = lanes.lane::<i64>(50_000);
            write(&mut lane, &[k; 50_000]);
            // Every third is gone at once.
            if k % 3 > 0 {
                all.push((k, lane.finish()));
            }
        }
        for (k, values) in all {
            assert!(values.iter().all(|v| *v == k));
        }
    }
}
