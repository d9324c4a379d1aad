//! Formats parameters as one line of syntax: ` key value [NX | XX] [GET]`.

use std::fmt;

use super::{ArgKind, ArgSpec};

/// Displays parameters as in the Redis manual, each after a space.
pub(crate) struct Usage(pub(crate) &'static [ArgSpec]);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for arg in self.0 {
            f.write_str(" ")?;
            if arg.kind == ArgKind::Options {
                f.write_str(Usage(arg.parts).to_string().trim_start())?;
            } else if arg.optional {
                write!(f, "[{}]", One(arg))?;
            } else {
                One(arg).fmt(f)?;
            }
        }
        Ok(())
    }
}

/// Displays one parameter without the square brackets of an optional one.
struct One<'a>(&'a ArgSpec);

impl fmt::Display for One<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arg = self.0;
        let value = match arg.kind {
            ArgKind::PureToken => String::new(),
            ArgKind::OneOf => {
                let choices: Vec<String> = arg.parts.iter().map(|part| One(part).to_string()).collect();
                // The caller adds square brackets to an optional choice.
                if arg.optional { choices.join(" | ") } else { format!("({})", choices.join(" | ")) }
            }
            ArgKind::Block | ArgKind::Options => Usage(arg.parts).to_string().trim_start().to_owned(),
            _ => arg.name.to_owned(),
        };
        match arg.token {
            Some(token) if value.is_empty() => f.write_str(token)?,
            Some(token) => write!(f, "{token} {value}")?,
            None => f.write_str(&value)?,
        }
        if arg.multiple {
            write!(f, " [{value} ...]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_display_as_in_the_redis_manual() {
        const ARGS: &[ArgSpec] = &[
            ArgSpec::new(ArgKind::Key).named("key"),
            ArgSpec::options(
                const {
                    &[
                        ArgSpec::one_of(
                            const {
                                &[
                                    ArgSpec::new(ArgKind::PureToken).token("NX"),
                                    ArgSpec::new(ArgKind::Integer).named("seconds").token("EX"),
                                ]
                            },
                        )
                        .optional(),
                        ArgSpec::new(ArgKind::PureToken).token("GET").optional(),
                    ]
                },
            ),
            ArgSpec::new(ArgKind::String).named("member").multiple(),
        ];
        assert_eq!(Usage(ARGS).to_string(), " key [NX | EX seconds] [GET] member [member ...]");
    }
}
