//! Does parts of an operator's work at the same time, by threads that stay for the next parts: what a thread's allocator has freed is there for it, and no part waits for a
//! thread to begin (the pool is Rayon's: Cilk's work stealing; Frigo, Leiserson and Randall, "The Implementation of the Cilk-5 Multithreaded Language", 1998). Knows
//! nothing of what is done; what comes of it is in the order of the tasks.

use rayon_core::{ThreadPool, ThreadPoolBuilder};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Threads beside those that have work to give away; none: the system has no threads. They begin with the first work that is given away.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // The thread that gives work away does a part of it.
    let others = processors.saturating_sub(1).max(1);
    ThreadPoolBuilder::new().num_threads(others).thread_name(|number| format!("flowc-part-{number}")).build().ok()
});

/// Does tasks at the same time, as far as there are processors.
pub(in crate::operators) fn at_once<T: Send, R: Send>(tasks: Vec<T>, task: impl Fn(T) -> R + Sync) -> Vec<R> {
    match (tasks.len() > 1).then(|| POOL.as_ref()).flatten() {
        None => tasks.into_iter().map(task).collect(),
        Some(pool) => shared(pool, tasks, task),
    }
}

fn shared<T: Send, R: Send>(pool: &ThreadPool, tasks: Vec<T>, task: impl Fn(T) -> R + Sync) -> Vec<R> {
    let others = pool.current_num_threads().min(tasks.len() - 1);
    let mut done: Vec<Option<R>> = tasks.iter().map(|_| None).collect();
    let parts = Mutex::new(done.iter_mut().zip(tasks));
    // Each takes the next one that nobody has, so that this thread never waits for one that has not been begun.
    let work = || {
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((result, part)) = next() {
            *result = Some(task(part));
        }
    };
    pool.in_place_scope(|scope| {
        (0..others).for_each(|_| scope.spawn(|_| work()));
        work();
    });
    // The scope ends when all are done; a panic of one goes on there.
    done.into_iter().flatten().collect()
}

/// The same; where tasks have fewer rows than are worth telling another thread of, one after the other.
pub(in crate::operators) fn at_once_from<T: Send, R: Send>(
    rows: usize,
    tasks: Vec<T>,
    task: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if rows < WORTH_A_THREAD { tasks.into_iter().map(task).collect() } else { at_once(tasks, task) }
}

/// So few rows are done before a thread has woken. Tests want threads.
const WORTH_A_THREAD: usize = if cfg!(test) { 2 } else { 4096 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_tasks_also_of_tasks_that_give_work_away() {
        let square = |i: u64| at_once((0..i).collect(), |j| i * j).into_iter().sum::<u64>();
        for tasks in [0, 1, 2, 3, 50] {
            let wanted: Vec<u64> = (0..tasks).map(|i| i * (0..i).sum::<u64>()).collect();
            assert_eq!(at_once((0..tasks).collect(), square), wanted);
            assert_eq!(at_once_from(1, (0..tasks).collect(), square), wanted);
        }
    }

    #[test]
    fn a_panic_comes_back() {
        let caught = std::panic::catch_unwind(|| at_once(vec![1, 2, 3], |i| assert_ne!(i, 2, "this one")));
        assert!(caught.is_err());
        assert_eq!(at_once(vec![1, 2], |i| i), [1, 2]);
    }
}
