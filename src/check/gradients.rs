//! A function's own gradient: `fn f(x) { … } gradient(d) { … }`. In go the function's value and its arguments, out comes
//! the value marked with what its block says: one gradient for each float tensor among the parameters, in order.

use super::calls::Arguments;
use super::context::{Checker, Res, Scope};
use super::shapes::{Form, form};
use super::values::{Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::graph::NodeId;
use crate::ops::Op;
use crate::source::Span;
use crate::syntax::ast::{Block, FnDecl, Ident};
