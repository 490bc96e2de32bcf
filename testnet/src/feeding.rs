//! A scripted honeycomb that feeds a node on a thread of its own.
//!
//! *Always holds:* the honeycomb comes back when the feed is over, so that its truth can be compared.

use crate::honeycomb::Honeycomb;
use crate::honeycomb::live::{self, Pace, Report};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A feed on its way.
#[derive(Debug)]
pub struct Feeding {
    report: Arc<Mutex<Report>>,
    stop: CancellationToken,
    thread: JoinHandle<(Honeycomb, Report)>,
}

impl Feeding {
    /// Starts to feed.
    pub fn start(honeycomb: Honeycomb, pace: Pace) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let report = Arc::<Mutex<Report>>::default();
        let stop = CancellationToken::new();
        let (told, until) = (report.clone(), stop.clone());
        let tell = move |report: &Report| report.clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
        let body = move || runtime.block_on(live::feed(honeycomb, pace, async move { until.cancelled().await }, tell));
        let thread = std::thread::Builder::new().name("honeycomb".to_owned()).spawn(body)?;
        Ok(Self { report, stop, thread })
    }

    /// How far it is.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// No further block; what was written is still sent and waited for.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end: everything was acknowledged, or nothing moved any more.
    ///
    /// # Panics
    /// When the honeycomb did.
    pub fn finish(self) -> (Honeycomb, Report) {
        self.thread.join().expect("the honeycomb's thread ends well")
    }
}
