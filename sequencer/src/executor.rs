//! Where heavy work runs: proofs of submitted bundles and combining of shares.
//!
//! # Invariants
//!
//! 1. Admission, opening and waiting for views have pools of their own, and on Linux the threads of admission give
//!    way where the processor is busy: a flood of submissions does not stand before an opening.
//! 2. Inline execution runs a job to its end before anything else of the caller happens, so that a
//!    simulation replays.

use std::{fmt, sync::Arc};

use futures::channel::oneshot;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How much the threads of admission give way, as a nice value of Linux: beside another thread one
/// of them gets a quarter of the processor.
const ADMISSION_NICE: i32 = 5;

/// Which pool a job belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Verifying what was submitted or relayed, and preparing own shares.
    Admission,
    /// Opening what is final.
    Opening,
    /// Cutting a slot over views, which waits for other machines.
    Viewing,
}

/// Runs jobs.
#[derive(Clone)]
pub struct Executor {
    admission: Arc<ThreadPool>,
    opening: Arc<ThreadPool>,
    viewing: Arc<ThreadPool>,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Pools,
    Inline,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("admission_threads", &self.admission.current_num_threads())
            .field("opening_threads", &self.opening.current_num_threads())
            .finish_non_exhaustive()
    }
}

/// The pool is gone, or the job panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job ended without a result")]
pub struct JobLost;

impl Executor {
    /// Pools of this many threads, and one thread that waits for views.
    ///
    /// # Errors
    ///
    /// If the threads can't be started.
    pub fn pools(admission: usize, opening: usize) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self {
            admission: Arc::new(pool("admission", admission, ADMISSION_NICE)?),
            opening: Arc::new(pool("opening", opening, 0)?),
            viewing: Arc::new(pool("viewing", 1, 0)?),
            place: Place::Pools,
        })
    }

    /// One thread, and the caller waits for every job.
    ///
    /// # Errors
    ///
    /// If the thread can't be started.
    pub fn inline() -> Result<Self, ThreadPoolBuildError> {
        let shared = Arc::new(pool("inline", 1, 0)?);
        let (admission, opening) = (Arc::clone(&shared), Arc::clone(&shared));
        Ok(Self { admission, opening, viewing: shared, place: Place::Inline })
    }

    /// The pool of a lane.
    pub fn pool(&self, lane: Lane) -> &Arc<ThreadPool> {
        match lane {
            Lane::Admission => &self.admission,
            Lane::Opening => &self.opening,
            Lane::Viewing => &self.viewing,
        }
    }

    /// The result of `job`, run on the pool of `lane`.
    ///
    /// # Errors
    ///
    /// If the job panicked.
    pub fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce(&ThreadPool) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, JobLost>> + Send + 'static {
        let pool = Arc::clone(self.pool(lane));
        let (result, receiver) = oneshot::channel();
        match self.place {
            Place::Pools => {
                let inner = Arc::clone(&pool);
                pool.spawn(move || {
                    // The receiver is gone only when the sequencer stops.
                    let _ = result.send(job(&inner));
                });
            }
            Place::Inline => {
                let _ = result.send(job(&pool));
            }
        }
        async move { receiver.await.map_err(|_| JobLost) }
    }
}

fn pool(name: &'static str, threads: usize, nice: i32) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(move |index| format!("{name}-{index}"))
        .start_handler(move |_| give_way(nice))
        .build()
}

/// Lowers the priority of this thread. Elsewhere than on Linux a nice value is the process'.
fn give_way(nice: i32) {
    if cfg!(target_os = "linux") && nice > 0 {
        // Where it is forbidden all threads are equal, as they are elsewhere.
        let _ = rustix::process::setpriority_process(None, nice);
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn jobs_run_on_the_pool_of_their_lane() {
        let executor = Executor::pools(1, 2).unwrap();
        let name = executor.run(Lane::Opening, |pool| {
            (pool.current_num_threads(), std::thread::current().name().map(str::to_owned))
        });
        let (threads, name) = block_on(name).unwrap();
        assert_eq!(threads, 2);
        assert!(name.is_some_and(|name| name.starts_with("opening-")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn invariant_1_admission_gives_way_to_opening() {
        let executor = Executor::pools(1, 1).unwrap();
        let nice = |lane| {
            let job = move |_: &ThreadPool| rustix::process::getpriority_process(None).unwrap();
            block_on(executor.run(lane, job)).unwrap()
        };
        assert_eq!(nice(Lane::Admission), (nice(Lane::Opening) + ADMISSION_NICE).min(19));
    }

    #[test]
    fn invariant_2_inline_jobs_are_done_when_run_returns() {
        let executor = Executor::inline().unwrap();
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let result = executor.run(Lane::Admission, move |_| {
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        assert!(done.load(std::sync::atomic::Ordering::SeqCst));
        block_on(result).unwrap();
    }
}
