//! What the HTTP routes serve: gauges at any time, and the node while it takes requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::gauges::Gauges;
use crate::control::reply::FromReply;
use crate::control::request::Request;
use crate::shell::inbox::{Call, Input};

/// How long a page waits for the reply of the node.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of the routes.
#[derive(Clone)]
pub(crate) struct Site {
    pub(super) gauges: Gauges,
    /// Set while the node takes requests.
    inbox: Arc<Mutex<Option<mpsc::Sender<Input>>>>,
}

impl Site {
    /// A site of a node that is about to start.
    #[must_use]
    pub(crate) fn new(gauges: Gauges) -> Self {
        Self { gauges, inbox: Arc::default() }
    }

    /// Sets the inbox once the node is ready, and takes it away when the node stops.
    pub(crate) fn connect(&self, inbox: Option<mpsc::Sender<Input>>) {
        *self.inbox.lock() = inbox;
    }

    /// Asks the node; `None` when it takes no requests or is too slow.
    pub(super) async fn ask<R: FromReply>(&self, request: Request) -> Option<R> {
        let inbox = self.inbox.lock().clone()?;
        let (answer, reply) = oneshot::channel();
        let call = Call { request, reply: answer };
        inbox.send(Input::Call(call)).await.ok()?;
        let data = tokio::time::timeout(REPLY_TIMEOUT, reply).await.ok()?.ok()?.ok()?;
        data.try_into().ok()
    }
}
