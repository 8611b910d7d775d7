//! The playground's WebAssembly module: four functions over two buffers, no generated glue.
//!
//! The page asks `nnc_input(n)` for room, writes a function's name and behind it a JSON object there, calls
//! `nnc_call(length of the name)`, and reads as many bytes of JSON as that gives from `nnc_output()`. After a trap the
//! output holds what the panic said, in `nnc_output_len()` bytes.

mod api;

use std::cell::RefCell;

#[derive(Default)]
struct Exchange {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static EXCHANGE: RefCell<Exchange> = RefCell::default();
    static SESSION: RefCell<api::Session> = RefCell::default();
}

/// Room for `len` bytes of a call.
#[unsafe(no_mangle)]
pub extern "C" fn nnc_input(len: usize) -> *mut u8 {
    EXCHANGE.with_borrow_mut(|e| {
        e.input.clear();
        e.input.resize(len, 0);
        e.input.as_mut_ptr()
    })
}

/// Makes the call whose name has so many bytes; gives the length of its answer.
#[unsafe(no_mangle)]
pub extern "C" fn nnc_call(name_len: usize) -> usize {
    std::panic::set_hook(Box::new(|panic| put(panic.to_string().into_bytes())));
    let input = EXCHANGE.with_borrow_mut(|e| std::mem::take(&mut e.input));
    let (name, request) = input.split_at(name_len.min(input.len()));
    let name = String::from_utf8_lossy(name);
    let answer = SESSION.with_borrow_mut(|session| session.call_text(&name, request));
    put(answer.into_bytes());
    nnc_output_len()
}

fn put(output: Vec<u8>) {
    EXCHANGE.with_borrow_mut(|e| e.output = output);
}

/// Where the last answer begins.
#[unsafe(no_mangle)]
pub extern "C" fn nnc_output() -> *const u8 {
    EXCHANGE.with_borrow(|e| e.output.as_ptr())
}

/// How long the last answer is.
#[unsafe(no_mangle)]
pub extern "C" fn nnc_output_len() -> usize {
    EXCHANGE.with_borrow(|e| e.output.len())
}
