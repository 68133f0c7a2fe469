//! Whether a web dyno has bound its port: by connecting to it, quickly at first.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Whether it accepted a connection before `deadline`.
pub(crate) async fn accepts(addr: SocketAddr, deadline: Instant) -> bool {
    let tries = async {
        let mut pause = FIRST_PAUSE;
        while !matches!(
            timeout(CONNECT_WITHIN, TcpStream::connect(addr)).await,
            Ok(Ok(_))
        ) {
            sleep(pause).await;
            pause = pause.mul_f32(1.25).min(LONGEST_PAUSE);
        }
    };
    timeout_at(deadline, tries).await.is_ok()
}
