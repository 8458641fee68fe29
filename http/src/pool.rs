//! The hop to threads that may block: for writes, long lists, scrypt and files.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;
use crate::limits::{POOL_LEADERS, POOL_THREADS_MAX, POOL_WAIT_SECONDS_MAX, POOL_WRITES_MAX};

/// Bounds what runs on the runtime's blocking threads; what finds none free waits in order, for a while.
pub struct Pool {
    /// What waits for the disk: the more of it at once, the more shares one commit.
    writes: Arc<Semaphore>,
    /// What keeps a core busy: more at once than there are cores would only starve the thread that serves.
    work: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let work = cores.min(POOL_THREADS_MAX - POOL_WRITES_MAX - POOL_LEADERS);
        Self {
            writes: Arc::new(Semaphore::new(POOL_WRITES_MAX)),
            work: Arc::new(Semaphore::new(work)),
        }
    }
}

impl Pool {
    /// Runs a job that writes. One that has begun ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// Those of the job; [`Error::Busy`] if no thread gets free, [`Error::Lost`] if the job panics.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        run(&self.writes, job).await
    }

    /// Runs a job of which there is never more than one. Nobody waits for it: it ends, whoever goes away.
    pub fn lead(&self, job: impl FnOnce() + Send + 'static) {
        drop(tokio::task::spawn_blocking(job));
    }

    /// Runs a job that computes: parses, opens, lists.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub async fn work<T, E>(
        &self,
        job: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        run(&self.work, job).await
    }
}

/// The hop: the only place where a job changes threads.
async fn run<T, E>(
    turns: &Arc<Semaphore>,
    job: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    T: Send + 'static,
    E: Into<Error> + Send + 'static,
{
    let turn = turns.clone().acquire_owned();
    let Ok(Ok(turn)) = timeout(Duration::from_secs(POOL_WAIT_SECONDS_MAX), turn).await else {
        return Err(Error::Busy);
    };
    let job = tokio::task::spawn_blocking(move || {
        let result = job();
        drop(turn);
        result
    });
    job.await.map_err(|_| Error::Lost)?.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_errors_and_panics_come_back() {
        let pool = Pool::default();
        assert!(matches!(pool.work(|| Ok::<_, Error>(7)).await, Ok(7)));
        assert!(matches!(
            pool.write(|| Err::<(), _>(Error::NoRoute)).await,
            Err(Error::NoRoute)
        ));
        for _ in 0..=POOL_WRITES_MAX {
            let lost =
                pool.write(|| -> Result<(), Error> { std::panic::resume_unwind(Box::new(())) });
            assert!(matches!(lost.await, Err(Error::Lost)));
        }
    }
}
