//! Runs that are slow enough to be looked at while they are open.

use std::sync::mpsc;
use std::thread::JoinHandle;

use aquifer_sim::{FrameSize, RunTruth};
use aquifer_storage::{GrowingUpload, GrowingUploads, StorageElement, UnfinishedUpload};
use futures::TryStreamExt;

use crate::deployment::{Deployment, take};

/// A DAQ that stops in the middle of a run until it is told to go on.
pub(crate) struct SlowRun {
    go_on: mpsc::Sender<()>,
    daq: JoinHandle<RunTruth>,
}

impl SlowRun {
    /// Begins a run of some 30 MB and stops after two thirds of it.
    pub(crate) fn begin(deployment: &Deployment) -> Self {
        let (go_on, gate) = mpsc::channel();
        let mut calls = 0;
        let frames = 240;
        let daq = deployment.daq(|config| {
            config.frames_per_run = frames;
            config.frame = FrameSize {
                rows: 256,
                columns: 256,
            };
        });
        let mut daq = daq.with_pace(Box::new(move |due| {
            calls += 1;
            if calls == frames * 2 / 3 {
                // Nobody left to say so is as good.
                let _ = gate.recv();
            }
            due
        }));
        let daq = std::thread::spawn(move || take(&mut daq));
        Self { go_on, daq }
    }

    /// Goes on to the end of the run.
    pub(crate) fn end(self) -> RunTruth {
        self.go_on.send(()).unwrap();
        self.daq.join().unwrap()
    }
}

impl Deployment {
    /// Parts of the run's file that the storage has.
    pub(crate) fn streamed_parts(&self, run: u64) -> usize {
        let element = self.storage();
        let uploads = self.unfinished();
        let ours = uploads
            .iter()
            .find(|upload| upload.key.contains(&format!("{run:08}")));
        let Some(upload) = ours else { return 0 };
        let upload = GrowingUpload {
            key: upload.key.parse().unwrap(),
            upload_id: upload.upload_id.clone(),
        };
        let parts = element.list_parts(&upload).await_on(self);
        parts.map_or(0, |parts| parts.len())
    }

    /// Uploads that are neither completed nor dropped.
    pub(crate) fn unfinished(&self) -> Vec<UnfinishedUpload> {
        let element = self.storage();
        element.list_unfinished("raw/").try_concat().await_on(self)
    }
}

/// Waits for something on the deployment's runtime; it must succeed.
pub(crate) trait AwaitOn<T> {
    fn await_on(self, deployment: &Deployment) -> T;
}

impl<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>> AwaitOn<T> for F {
    fn await_on(self, deployment: &Deployment) -> T {
        deployment
            .runtime
            .block_on(self)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}
