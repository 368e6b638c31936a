//! Cursors of consumers. A cursor only moves forward.

use imbl::OrdMap;

use super::{Outcome, State};
use crate::limits::CURSORS_MAX;
use crate::reject::{BoundedList, Reject};
use crate::topic::{TopicId, name_is_valid};

impl State {
    /// The arrival at which a cursor stands: the last one that its consumer has processed.
    #[must_use]
    pub fn cursor(&self, topic: TopicId, name: &str) -> Option<u64> {
        self.cursors.get(&(topic, name.to_owned())).copied()
    }

    /// All cursors: topic, name and arrival. After a restore a cursor's topic may be unknown.
    pub fn cursors(&self) -> impl Iterator<Item = (TopicId, &str, u64)> {
        self.cursors.iter().map(|((topic, name), arrival)| (*topic, name.as_str(), *arrival))
    }

    pub(super) fn move_cursor(
        &mut self,
        topic: TopicId,
        name: String,
        arrival: u64,
    ) -> Result<Outcome, Reject> {
        if !name_is_valid(&name) {
            return Err(Reject::BadCursor);
        }
        if !self.topics.contains_key(&topic) {
            return Err(Reject::UnknownTopic { name: topic.to_string() });
        }
        let last = self.last_arrival(&topic);
        if arrival > last {
            return Err(Reject::CursorAhead { arrival, last });
        }
        let key = (topic, name);
        match self.cursors.get(&key) {
            Some(stands) if *stands >= arrival => return Ok(Outcome::Duplicate),
            None if self.cursors.len() >= CURSORS_MAX => {
                return Err(Reject::Full { what: BoundedList::Cursors });
            }
            _ => {}
        }
        self.cursors.insert(key, arrival);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_cursor(&mut self, topic: TopicId, name: String) -> Outcome {
        match self.cursors.remove(&(topic, name)) {
            Some(_) => Outcome::Done,
            None => Outcome::Duplicate,
        }
    }

    pub(super) fn delete_cursors(&mut self, topic: TopicId) {
        let others = self.cursors.iter().filter(|((of, _), _)| *of != topic);
        self.cursors = others.map(|(key, arrival)| (key.clone(), *arrival)).collect();
    }

    /// The cursors after a restore of `image`: the present ones, none moved back, and as many of the
    /// image's as the limit allows. A cursor is kept even if its topic is missing in the image, so that it
    /// has not gone back when the topic returns.
    pub(super) fn restored_cursors(&self, image: &Self) -> OrdMap<(TopicId, String), u64> {
        // A cursor at 0 of a topic missing in the image has no position to keep.
        let kept = self
            .cursors
            .iter()
            .filter(|((topic, _), arrival)| **arrival > 0 || image.topics.contains_key(topic));
        let mut cursors: OrdMap<_, _> =
            kept.map(|(key, arrival)| (key.clone(), *arrival)).collect();
        for (key, old) in &image.cursors {
            match cursors.get(key) {
                Some(now) if now >= old => {}
                None if cursors.len() >= CURSORS_MAX => {}
                _ => {
                    cursors.insert(key.clone(), *old);
                }
            }
        }
        cursors
    }
}
