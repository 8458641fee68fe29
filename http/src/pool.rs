//! The hop to threads that may block: for writes, long lists, scrypt and files.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;
use crate::limits::{POOL_THREADS_MAX, POOL_WAIT_SECONDS_MAX};

/// Bounds what runs on the runtime's blocking threads; what finds none free waits in order, for a while.
pub struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(POOL_THREADS_MAX)))
    }
}

impl Pool {
    /// Runs `job` on a thread that may block. A job that has begun ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// Those of the job; [`Error::Busy`] if no thread gets free, [`Error::Lost`] if the job panics.
    pub async fn run<T, E>(
        &self,
        job: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        let turn = self.0.clone().acquire_owned();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_errors_and_panics_come_back() {
        let pool = Pool::default();
        assert!(matches!(pool.run(|| Ok::<_, Error>(7)).await, Ok(7)));
        assert!(matches!(
            pool.run(|| Err::<(), _>(Error::NoRoute)).await,
            Err(Error::NoRoute)
        ));
        for _ in 0..=POOL_THREADS_MAX {
            let lost =
                pool.run(|| -> Result<(), Error> { std::panic::resume_unwind(Box::new(())) });
            assert!(matches!(lost.await, Err(Error::Lost)));
        }
    }
}
