//! Encodes the columns of a batch by two threads where a core is to be had: each takes the next column once it is done with one, so that wide columns hold nobody up.
//! A column is encoded by one thread at a time, so what is written does not depend on it. Knows columns as items of work; nothing of Parquet.

use parquet::errors::ParquetError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Batches of fewer rows are not worth a thread.
const ROWS: usize = 8192;

/// How many threads beyond those of writers may encode at the same time, in the whole process: as many as there are cores, but for one.
fn spare() -> &'static AtomicUsize {
    static SPARE: OnceLock<AtomicUsize> = OnceLock::new();
    SPARE.get_or_init(|| AtomicUsize::new(std::thread::available_parallelism().map_or(1, usize::from) - 1))
}

/// A thread that may be used, given back at the end.
pub(super) struct Permit;

impl Permit {
    pub(super) fn take() -> Option<Permit> {
        let less = |spare: usize| spare.checked_sub(1);
        spare().fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        spare().fetch_add(1, Ordering::Relaxed);
    }
}

/// Does the work of each item, with one of two helps. Of several failures that of the first item is given.
pub(super) fn each<T: Send, H: Send>(
    items: Vec<T>,
    rows: usize,
    helps: &mut [H; 2],
    work: impl Fn(T, &mut H) -> Result<(), ParquetError> + Sync,
) -> Result<(), ParquetError> {
    let permit = if rows >= ROWS && items.len() > 1 { Permit::take() } else { None };
    apart(items, permit.is_some(), helps, work)
}

fn apart<T: Send, H: Send>(
    items: Vec<T>,
    two: bool,
    [help, other]: &mut [H; 2],
    work: impl Fn(T, &mut H) -> Result<(), ParquetError> + Sync,
) -> Result<(), ParquetError> {
    if !two {
        return items.into_iter().try_for_each(|item| work(item, help));
    }
    let (queue, failed) = (Mutex::new(items.into_iter().enumerate()), Mutex::new(None::<(usize, ParquetError)>));
    let lane = |help: &mut H| {
        loop {
            // Not in the loop's head, where the lock would be held for the work.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, item)) = next else { break };
            if let Err(error) = work(item, help) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                    *failed = Some((at, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| lane(other));
        lane(help);
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_the_first_failure_is_given() {
        for two in [false, true] {
            let mut done = [0; 20];
            let mut helps = [0usize; 2];
            let count = |item: &mut i32, help: &mut usize| {
                *item += 1;
                *help += 1;
                Ok(())
            };
            apart(done.iter_mut().collect(), two, &mut helps, count).unwrap();
            assert_eq!((done, helps[0] + helps[1]), ([1; 20], 20));
            let fails = |item: usize, _: &mut usize| match item % 7 {
                3 => Err(ParquetError::General(item.to_string())),
                _ => Ok(()),
            };
            let error = apart((0..20).collect(), two, &mut helps, fails).unwrap_err();
            assert_eq!(error.to_string(), ParquetError::General("3".into()).to_string());
        }
    }

    #[test]
    fn threads_are_given_back() {
        // Others may use the same ones at the same time: so many calls would use up any number.
        for _ in 0..1000 {
            each(vec![1, 2, 3], ROWS, &mut [(), ()], |_, ()| Ok(())).unwrap();
        }
        let before = spare().load(Ordering::Relaxed);
        assert!(before <= std::thread::available_parallelism().map_or(1, usize::from));
    }
}
