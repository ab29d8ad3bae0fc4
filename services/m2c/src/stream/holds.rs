//! Who works on a file: the follower while it is open, the store once it is closed.
//!
//! A file has one holder at a time. Who wants it from the follower asks it to let go and
//! waits; the follower ends what it has begun. Between the two stands only the journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquifer_schemas::{FileName, RunNumber};
use tokio_util::sync::CancellationToken;

type Which = (RunNumber, FileName);

/// The files that are held.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    held: Mutex<HashMap<Which, Tokens>>,
}

#[derive(Debug, Clone, Default)]
struct Tokens {
    wanted: CancellationToken,
    free: CancellationToken,
}

/// The right to work on a file, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Arc<Holds>,
    which: Which,
    tokens: Tokens,
}

impl Holds {
    /// Takes a file that nobody holds.
    pub(crate) fn try_take(self: &Arc<Self>, run: RunNumber, name: &FileName) -> Option<Hold> {
        self.take_or_ask(run, name, false).ok()
    }

    /// Takes a file, from its holder if there is one.
    pub(crate) async fn take(self: &Arc<Self>, run: RunNumber, name: &FileName) -> Hold {
        loop {
            match self.take_or_ask(run, name, true) {
                Ok(hold) => return hold,
                Err(free) => free.cancelled().await,
            }
        }
    }

    fn take_or_ask(
        self: &Arc<Self>,
        run: RunNumber,
        name: &FileName,
        ask: bool,
    ) -> Result<Hold, CancellationToken> {
        let which = (run, name.clone());
        let mut held = self.held();
        if let Some(tokens) = held.get(&which) {
            if ask {
                tokens.wanted.cancel();
            }
            return Err(tokens.free.clone());
        }
        let tokens = Tokens::default();
        held.insert(which.clone(), tokens.clone());
        Ok(Hold {
            holds: Arc::clone(self),
            which,
            tokens,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Which, Tokens>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Cancelled when somebody else wants the file.
    pub(crate) fn wanted(&self) -> &CancellationToken {
        &self.tokens.wanted
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.held().remove(&self.which);
        self.tokens.free.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_file_has_one_holder_who_is_asked_to_let_go() {
        let holds = Arc::new(Holds::default());
        let name: FileName = "run1.mid".parse().unwrap();
        let follower = holds.try_take(1, &name).unwrap();
        assert!(holds.try_take(1, &name).is_none());
        assert!(holds.try_take(2, &name).is_some(), "another run's file");
        assert!(!follower.wanted().is_cancelled());
        let mut store = Box::pin(holds.take(1, &name));
        assert!((&mut store).now_or_never().is_none());
        assert!(follower.wanted().is_cancelled());
        drop(follower);
        let store = store.await;
        assert!(holds.try_take(1, &name).is_none());
        drop(store);
        assert!(holds.try_take(1, &name).is_some());
    }
}
