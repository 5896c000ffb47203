//! Seats: on which processors jobs of the pools run, so that two do not share one while another is free.
//!
//! A kernel that wakes several threads at once may put two of them on one processor, and may not look at the balance
//! again for longer than a read of a hundred megabytes takes: of four processors one then stood idle for half of it. So a
//! job notes where it begins, and one that finds another job's note there moves to a processor without one. The thread
//! is moved by a mask of that processor alone, and has its own mask back at once: it is held nowhere, and a kernel that
//! knows better may move it again. Processors that a container is given later are not in that mask: threads that moved
//! before do not use them.
//!
//! `unsafe` stands here because only system calls tell of processors; they read and write masks on the stack.

#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Processors that are known, as many as the kernel's masks hold.
#[cfg(target_os = "linux")]
const PROCESSORS: usize = libc::CPU_SETSIZE as usize;

/// Jobs that began on each processor and have not ended.
#[cfg(target_os = "linux")]
static JOBS: [AtomicU32; PROCESSORS] = [const { AtomicU32::new(0) }; PROCESSORS];

/// A job's note of its processor, taken away when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Seat {
    #[cfg(target_os = "linux")]
    jobs: Option<&'static AtomicU32>,
}

/// Notes where a job of a pool begins; its thread is moved first if another job runs there and a processor is free.
#[cfg(target_os = "linux")]
pub fn seat() -> Seat {
    let Some((processor, here)) = here() else {
        return Seat { jobs: None };
    };
    if here.fetch_add(1, Relaxed) == 0 {
        return Seat { jobs: Some(here) };
    }
    let Some(there) = moved(processor) else {
        return Seat { jobs: Some(here) };
    };
    here.fetch_sub(1, Relaxed);
    Seat { jobs: Some(there) }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub fn seat() -> Seat {
    Seat {}
}

#[cfg(target_os = "linux")]
impl Drop for Seat {
    fn drop(&mut self) {
        // Notes of a parent may have been forgotten meanwhile: there is no less than none.
        if let Some(jobs) = self.jobs {
            let _ = jobs.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
        }
    }
}

/// Forgets the jobs of the process this one was forked from.
pub(super) fn forget() {
    #[cfg(target_os = "linux")]
    JOBS.iter().for_each(|jobs| jobs.store(0, Relaxed));
}

/// This thread's processor, and its jobs.
#[cfg(target_os = "linux")]
fn here() -> Option<(usize, &'static AtomicU32)> {
    // SAFETY: asks for a number.
    let processor = usize::try_from(unsafe { libc::sched_getcpu() }).ok()?;
    JOBS.get(processor).map(|jobs| (processor, jobs))
}

/// Moves this thread to a processor it may use and no job has, the next behind `from`, and notes the job there.
#[cfg(target_os = "linux")]
fn moved(from: usize) -> Option<&'static AtomicU32> {
    let own = mask()?;
    // SAFETY: looks at a bit of a mask that lies on the stack, below its size.
    let may = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, &own) };
    let free = |processor: &usize| {
        let jobs = &JOBS[*processor];
        jobs.compare_exchange(0, 1, Relaxed, Relaxed).is_ok()
    };
    let behind = from + 1..PROCESSORS;
    let processor = behind.chain(0..from).filter(may).find(free)?;
    if put(&only(processor)) {
        // Refused where none of its processors is there any more; the kernel takes those there are of all.
        if !put(&own) {
            put(&every());
        }
        return Some(&JOBS[processor]);
    }
    JOBS[processor].fetch_sub(1, Relaxed);
    None
}

/// The processors this thread may use.
#[cfg(target_os = "linux")]
fn mask() -> Option<libc::cpu_set_t> {
    let mut mask = only(0);
    // SAFETY: the kernel writes to a mask of the size it is told.
    let told = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut mask) };
    (told == 0).then_some(mask)
}

#[cfg(target_os = "linux")]
fn only(processor: usize) -> libc::cpu_set_t {
    // SAFETY: a mask is bits, all of which may be zero, and the processor is one of them.
    unsafe {
        let mut mask: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut mask);
        mask
    }
}

/// All there may be.
#[cfg(target_os = "linux")]
fn every() -> libc::cpu_set_t {
    let mut mask = only(0);
    // SAFETY: sets bits of a mask that lies on the stack, below its size.
    (0..PROCESSORS).for_each(|processor| unsafe { libc::CPU_SET(processor, &mut mask) });
    mask
}

/// Tells the kernel where this thread may run; false: refused, as a sandbox may.
#[cfg(target_os = "linux")]
fn put(mask: &libc::cpu_set_t) -> bool {
    // SAFETY: the kernel reads a mask of the size it is told.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), mask) == 0 }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn processors(mask: &libc::cpu_set_t) -> Vec<usize> {
        // SAFETY: looks at bits of a mask, below its size.
        let may = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, mask) };
        (0..PROCESSORS).filter(may).collect()
    }

    #[test]
    fn a_job_moves_off_the_processor_of_another_and_its_thread_keeps_its_mask() {
        let own = processors(&mask().unwrap());
        if own.len() < 2 {
            return;
        }
        // Jobs of other tests come and go: a processor is free once.
        for _ in 0..10_000 {
            let first = seat();
            let before = here().unwrap().1;
            let second = seat();
            let after = here().unwrap().1;
            assert_eq!(processors(&mask().unwrap()), own);
            let alone = second.jobs.is_some_and(|jobs| std::ptr::eq(jobs, after));
            let beside = first.jobs.is_some_and(|jobs| std::ptr::eq(jobs, before));
            if alone && beside && !std::ptr::eq(before, after) {
                return;
            }
            drop((first, second));
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("no second job was ever moved");
    }

    #[test]
    fn a_seat_is_given_back() {
        let taken = seat();
        let jobs = taken.jobs.unwrap();
        assert!(jobs.load(Relaxed) > 0);
        std::thread::scope(|s| s.spawn(move || drop(taken)).join()).unwrap();
        // Others may sit there meanwhile, but not for ever.
        let free = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            jobs.load(Relaxed) == 0
        });
        assert!(free);
    }
}
