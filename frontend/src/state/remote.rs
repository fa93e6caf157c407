//! Something asked of the server: pending, failed, ready, or ready but not refreshed.

use std::rc::Rc;

use limelight_protocol::Timestamp;

use crate::api::{Answer, Failure};

/// What is known of it so far.
#[derive(Debug, PartialEq)]
pub struct Remote<T> {
    /// The newest value there is.
    pub value: Option<Rc<T>>,
    /// Why the newest try gave none.
    pub failure: Option<Failure>,
    /// From when the value is.
    pub at: Option<Timestamp>,
}

impl<T> Clone for Remote<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            failure: self.failure.clone(),
            at: self.at,
        }
    }
}

impl<T> Default for Remote<T> {
    fn default() -> Self {
        Self {
            value: None,
            failure: None,
            at: None,
        }
    }
}

impl<T> Remote<T> {
    /// The answer of the newest try. A failure leaves the older value in view.
    pub fn answered(&mut self, answer: Answer<T>, at: Timestamp) {
        match answer {
            Ok(value) => self.set(value, at),
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// A value that came by itself.
    pub fn set(&mut self, value: T, at: Timestamp) {
        self.value = Some(Rc::new(value));
        self.failure = None;
        self.at = Some(at);
    }
}

impl<T: Clone> Remote<T> {
    /// Changes the value in place, if there is one.
    pub fn change(&mut self, at: Timestamp, change: impl FnOnce(&mut T)) {
        if let Some(value) = &mut self.value {
            change(Rc::make_mut(value));
            self.at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_refresh_keeps_the_value_and_its_age() {
        let mut remote = Remote::default();
        remote.answered(Ok(1), Timestamp(10));
        remote.answered(Err(Failure::Unreachable(String::new())), Timestamp(20));
        assert_eq!(
            (remote.value.as_deref(), remote.at),
            (Some(&1), Some(Timestamp(10)))
        );
        assert!(remote.failure.is_some());
        remote.answered(Ok(2), Timestamp(30));
        assert_eq!(
            (remote.value.as_deref(), &remote.failure),
            (Some(&2), &None)
        );
        remote.change(Timestamp(40), |value| *value += 1);
        assert_eq!(
            (remote.value.as_deref(), remote.at),
            (Some(&3), Some(Timestamp(40)))
        );
    }
}
