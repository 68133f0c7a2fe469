//! How much of a body may be sent before the other end has asked for more (RFC 9113, 5.2).

/// A window has so many bytes at most.
pub(crate) const MOST: u32 = 0x7fff_ffff;
/// Before anybody has said otherwise.
pub(crate) const AT_FIRST: u32 = 65_535;

/// In bytes. It may be less than nothing: a setting can take away what was used already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window(i32);

/// It was opened further than a window may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooWide;

impl Window {
    pub(crate) const fn new(bytes: i32) -> Self {
        Self(bytes)
    }

    /// What may be sent.
    pub(crate) fn left(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many more.
    pub(crate) fn open(&mut self, bytes: u32) -> Result<(), TooWide> {
        let bytes = i32::try_from(bytes).map_err(|_| TooWide)?;
        self.0 = self.0.checked_add(bytes).ok_or(TooWide)?;
        Ok(())
    }

    /// What windows begin with has changed from `old` to `new`.
    pub(crate) fn shift(&mut self, old: i32, new: i32) -> Result<(), TooWide> {
        let shifted = i64::from(self.0) + i64::from(new) - i64::from(old);
        self.0 = i32::try_from(shifted).map_err(|_| TooWide)?;
        Ok(())
    }

    /// So many have been sent. Whether there was room for them.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        match i32::try_from(bytes) {
            Ok(some) if bytes <= self.left() => {
                self.0 -= some;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut window = Window::new(10);
        assert!(window.take(10) && !window.take(1) && window.take(0));
        window.open(3).unwrap();
        assert_eq!(window.left(), 3);
    }

    #[test]
    fn it_may_be_less_than_nothing_and_not_more_than_the_most() {
        let mut window = Window::new(100);
        assert!(window.take(90));
        window.shift(100, 0).unwrap();
        assert_eq!((window, window.left()), (Window::new(-90), 0));
        window.open(MOST).unwrap();
        window.open(90).unwrap();
        assert_eq!(window.left(), MOST as usize);
        assert_eq!(window.open(1), Err(TooWide));
        assert_eq!(window.open(u32::MAX), Err(TooWide));
        assert_eq!(window.shift(0, 1), Err(TooWide));
    }
}
