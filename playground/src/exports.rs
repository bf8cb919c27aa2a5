//! What a page calls: it asks for room, writes a request there, has it answered, and reads the answer. Knows nothing of requests.
//!
//! Plain functions and addresses: they need no bindings that a tool of the very same version would have to write.

use crate::Session;
use std::cell::RefCell;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::default();
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// Makes room for a request of so many bytes: its address.
// SAFETY: no other function has this name.
#[unsafe(no_mangle)]
pub extern "C" fn request(length: usize) -> *mut u8 {
    TEXT.with_borrow_mut(|text| {
        text.clear();
        text.resize(length, 0);
        text.as_mut_ptr()
    })
}

/// Answers the request that was written: the length of the answer.
// SAFETY: no other function has this name.
#[unsafe(no_mangle)]
pub extern "C" fn call() -> usize {
    TEXT.with_borrow_mut(|text| {
        let request = String::from_utf8_lossy(text);
        let answer = SESSION.with_borrow_mut(|session| session.answer(&request));
        *text = answer.into_bytes();
        text.len()
    })
}

/// The address of the answer.
// SAFETY: no other function has this name.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    TEXT.with_borrow(|text| text.as_ptr())
}
