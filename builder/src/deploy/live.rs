//! What running builds have said so far, for whoever watches without having pushed.
//!
//! It is what a pusher is shown, and so is bounded; it is gone when the build has ended, and its log remains.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use model::BuildId;
use tokio::sync::watch;

/// A piece of what was said, at most.
const PIECE: usize = 64 << 10;
/// How often a watcher is told that there is nothing new, by a byte that shows nothing.
const BEAT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    /// Guards the map for single look-ups only.
    builds: Arc<Mutex<HashMap<BuildId, Arc<Said>>>>,
}

#[derive(Debug)]
struct Said {
    /// Guards it while some is added or copied.
    text: Mutex<Vec<u8>>,
    /// How long it is, and whether it is all.
    length: watch::Sender<(usize, bool)>,
}

/// One build's voice; ends it when dropped.
#[derive(Debug)]
pub(crate) struct Voice {
    live: Live,
    build: BuildId,
    said: Arc<Said>,
}

impl Live {
    pub(crate) fn begin(&self, build: BuildId) -> Voice {
        let said = Arc::new(Said {
            text: Mutex::default(),
            length: watch::Sender::new((0, false)),
        });
        lock(&self.builds).insert(build, said.clone());
        Voice {
            live: self.clone(),
            build,
            said,
        }
    }

    /// From its beginning to its end; `None` for a build that does not run here.
    pub(crate) fn listen(
        &self,
        build: BuildId,
    ) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let said = lock(&self.builds).get(&build)?.clone();
        let length = said.length.subscribe();
        Some(futures::stream::unfold(
            (said, length, 0),
            |(said, mut length, at)| async move {
                let more = length.wait_for(|(length, ended)| *length > at || *ended);
                let more = tokio::time::timeout(BEAT, more).await;
                let ended = more.map(|seen| seen.is_ok_and(|seen| seen.1));
                let Ok(ended) = ended else {
                    return Some((Ok(Bytes::from_static(b"\0")), (said, length, at)));
                };
                let piece = said.from(at);
                if piece.is_empty() && ended {
                    return None;
                }
                let at = at + piece.len();
                Some((Ok(piece), (said, length, at)))
            },
        ))
    }
}

impl Said {
    fn from(&self, at: usize) -> Bytes {
        let text = lock(&self.text);
        let rest = text.get(at..).unwrap_or_default();
        Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)])
    }
}

impl Voice {
    pub(crate) fn say(&self, bytes: &[u8]) {
        let length = {
            let mut text = lock(&self.said.text);
            text.extend_from_slice(bytes);
            text.len()
        };
        self.said.length.send_replace((length, false));
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let mut builds = lock(&self.live.builds);
        // Another attempt of the same build may have begun here.
        if builds
            .get(&self.build)
            .is_some_and(|said| Arc::ptr_eq(said, &self.said))
        {
            builds.remove(&self.build);
        }
        drop(builds);
        self.said.length.send_modify(|(_, ended)| *ended = true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[tokio::test]
    async fn who_listens_late_hears_all_and_who_listens_long_hears_the_end() {
        let live = Live::default();
        let build = BuildId::new();
        assert!(live.listen(build).is_none());
        let voice = live.begin(build);
        voice.say(b"one");
        let mut listening = Box::pin(live.listen(build).unwrap());
        assert_eq!(listening.next().await.unwrap().unwrap(), "one");
        assert!(listening.next().now_or_never().is_none());
        voice.say(b" two");
        drop(voice);
        assert_eq!(listening.next().await.unwrap().unwrap(), " two");
        assert!(listening.next().await.is_none());
        assert!(live.listen(build).is_none());
    }
}
