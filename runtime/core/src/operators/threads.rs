//! Does parts of an operator's work at the same time. Knows nothing of what is done; what comes of it is in the order of the tasks.

/// Does tasks at the same time, each by a thread of its own.
pub(in crate::operators) fn at_once<T: Send, R: Send>(tasks: Vec<T>, task: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut tasks = tasks.into_iter();
    let Some(first) = tasks.next() else { return vec![] };
    std::thread::scope(|scope| {
        let task = &task;
        let others: Vec<_> = tasks.map(|next| scope.spawn(move || task(next))).collect();
        let mut done = vec![task(first)];
        let result = |thread: std::thread::ScopedJoinHandle<'_, R>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        done.extend(others.into_iter().map(result));
        done
    })
}

/// The same; where tasks have fewer rows than it takes to begin a thread, one after the other.
pub(in crate::operators) fn at_once_from<T: Send, R: Send>(
    rows: usize,
    tasks: Vec<T>,
    task: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if rows < WORTH_A_THREAD { tasks.into_iter().map(task).collect() } else { at_once(tasks, task) }
}

/// So few rows are done before a thread has begun. Tests want threads.
const WORTH_A_THREAD: usize = if cfg!(test) { 2 } else { 4096 };
