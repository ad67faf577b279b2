//! `--auth`: its values, from the ways to sign in.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::auth::METHODS;
use crate::model::SignInMethod;

/// `--auth`: a method, or `auto`, which takes what the environment offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthFlag(pub Option<SignInMethod>);

impl ValueEnum for AuthFlag {
    fn value_variants<'a>() -> &'a [Self] {
        static FLAGS: [AuthFlag; METHODS.len() + 1] = {
            let mut flags = [AuthFlag(None); METHODS.len() + 1];
            let mut at = 0;
            while at < METHODS.len() {
                flags[at + 1] = AuthFlag(Some(METHODS[at].method));
                at += 1;
            }
            flags
        };
        &FLAGS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            None => PossibleValue::new("auto").help("What the environment offers, in this order"),
            Some(method) => PossibleValue::new(method.name).help(method.help),
        })
    }
}
