//! Sections of settings: from one row per setting come its field in the file, its reader, its line in
//! `config show`, its reload behaviour and its row in the reference. The rows are in [`table`](crate::table).
//!
//! A row of a plain setting is
//!
//! ```text
//! /// what it does, as the reference says it
//! name: Text = form, options();
//! ```
//!
//! `Text` is how the file writes it: `Vec<Text>` is a list. Its value is the field of the same name in the
//! section's target, or of another name after `=>`; its default is the value that the target has before it
//! is read. The options are methods of [`Row`].
//!
//! A row of a structured setting is `name: Type = "its values", "its default";`. Such a setting has a reader
//! of its own. Without a doc comment it is not in the reference.

use longshore_settings::{Form, Key, Reader, Written, variable_name};

/// Settings that are read into fields of `T` from the part `R` of the file.
pub(crate) struct Section<R, T> {
    path: &'static str,
    settings: Vec<Box<dyn Setting<R, T>>>,
}

/// A plain setting of a section.
pub(crate) trait Setting<R, T> {
    fn name(&self) -> &'static str;
    fn read(&self, reader: &mut Reader<'_>, path: &str, is_entry: bool, raw: &R, target: &mut T);
    fn show(&self, target: &T) -> String;
    fn describe(&self, path: &str, defaults: &T) -> Description;
    fn is_kept_on_reload(&self) -> bool;
    fn is_equal(&self, one: &T, other: &T) -> bool;
    fn copy(&self, from: &T, to: &mut T);
}

/// A row of the reference.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) path: String,
    pub(crate) variables: String,
    pub(crate) values: String,
    pub(crate) default: String,
    pub(crate) doc: &'static str,
}

/// A row of a structured setting.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) values: &'static str,
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

/// The structured settings of a part of the file.
pub(crate) trait Structured {
    const FIELDS: &'static [Field];
}

impl<R, T> Section<R, T> {
    pub(crate) fn new(path: &'static str, settings: Vec<Box<dyn Setting<R, T>>>) -> Self {
        Self { path, settings }
    }

    /// Reads the settings that are set into `target`.
    pub(crate) fn read(&self, reader: &mut Reader<'_>, raw: &R, target: &mut T) {
        for setting in &self.settings {
            let path = join_path(self.path, setting.name());
            setting.read(reader, &path, false, raw, target);
        }
    }

    /// Reads them for the entry at `path`, which has a name of the user's choice and so no variables.
    pub(crate) fn read_entry(&self, reader: &mut Reader<'_>, path: &str, raw: &R, target: &mut T) {
        for setting in &self.settings {
            let path = join_path(path, setting.name());
            setting.read(reader, &path, true, raw, target);
        }
    }

    /// The settings and their values, for people.
    pub(crate) fn show(&self, target: &T) -> Vec<(String, String)> {
        self.show_at(self.path, target)
    }

    /// The settings of the entry at `path` and their values, for people.
    pub(crate) fn show_at(&self, path: &str, target: &T) -> Vec<(String, String)> {
        let settings = self.settings.iter();
        settings
            .map(|setting| (join_path(path, setting.name()), setting.show(target)))
            .collect()
    }

    /// The rows of the reference; `defaults` has the default values.
    pub(crate) fn describe(&self, defaults: &T) -> Vec<Description> {
        let settings = self.settings.iter();
        settings
            .map(|setting| setting.describe(&join_path(self.path, setting.name()), defaults))
            .collect()
    }

    /// Sets the settings that need a restart in `new` to their values in `running`, and returns the paths
    /// of all of them with whether they differed.
    pub(crate) fn keep_startup_settings(&self, running: &T, new: &mut T) -> Vec<(String, bool)> {
        let settings = self.settings.iter();
        settings
            .filter(|setting| setting.is_kept_on_reload())
            .map(|setting| {
                let differs = !setting.is_equal(running, new);
                setting.copy(running, new);
                (join_path(self.path, setting.name()), differs)
            })
            .collect()
    }
}

impl Field {
    /// Its row of the reference, in the section at `path`.
    pub(crate) fn describe(&self, path: &str) -> Description {
        Description {
            path: join_path(path, self.name.trim_start_matches("r#")),
            variables: String::new(),
            values: self.values.to_owned(),
            default: self.default.to_owned(),
            doc: self.doc,
        }
    }
}

fn join_path(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A plain setting: `W` is how the file writes it, and `V` the value of one text in it.
pub(crate) struct Row<R, T, W: Written, V: Clone> {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) form: Form<V>,
    pub(crate) written: fn(&R) -> Option<&W>,
    pub(crate) value: fn(&T) -> &W::Value<V>,
    pub(crate) value_mut: fn(&mut T) -> &mut W::Value<V>,
    pub(crate) other_variables: Vec<&'static str>,
    pub(crate) needs_restart: bool,
}

impl<R, T, W: Written, V: Clone> Row<R, T, W, V> {
    /// Another variable that sets it, used if its own is not set.
    pub(crate) fn variable(mut self, name: &'static str) -> Self {
        self.other_variables.push(name);
        self
    }

    /// A reload does not change it.
    pub(crate) fn needs_restart(mut self) -> Self {
        self.needs_restart = true;
        self
    }
}

impl<R, T, W: Written, V: Clone> Setting<R, T> for Row<R, T, W, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, reader: &mut Reader<'_>, path: &str, is_entry: bool, raw: &R, target: &mut T) {
        let key = Key {
            path,
            variables: (!is_entry).then_some(self.other_variables.as_slice()),
        };
        if let Some(value) = W::read((self.written)(raw), reader, key, &self.form) {
            *(self.value_mut)(target) = value;
        }
    }

    fn show(&self, target: &T) -> String {
        W::format((self.value)(target), |value| self.form.show(value))
    }

    fn describe(&self, path: &str, defaults: &T) -> Description {
        let own = variable_name(path);
        let variables = std::iter::once(own.as_str()).chain(self.other_variables.iter().copied());
        let variables: Vec<String> = variables.map(|name| format!("`{name}`")).collect();
        let default = W::format((self.value)(defaults), |value| self.form.format(value));
        Description {
            path: path.to_owned(),
            variables: variables.join(", ") + if W::IS_LIST { " (comma-separated)" } else { "" },
            values: self.form.describe_values().to_owned(),
            default: if default.is_empty() {
                "none".to_owned()
            } else {
                default
            },
            doc: self.doc,
        }
    }

    fn is_kept_on_reload(&self) -> bool {
        self.needs_restart
    }

    fn is_equal(&self, one: &T, other: &T) -> bool {
        let text = |target| W::format((self.value)(target), |value| self.form.format(value));
        text(one) == text(other)
    }

    fn copy(&self, from: &T, to: &mut T) {
        (self.value_mut)(to).clone_from((self.value)(from));
    }
}

/// Declares a part of the file, its structured settings, and groups of plain settings of a target.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        $raw:ident => $target:ty, $path:literal {
            $( $(#[doc = $field_doc:literal])* $field:ident: $field_type:ty
                $(= $values:literal, $default:literal)?; )*
        }
        $( fn $group:ident($($argument:ident: $argument_type:ty),*) {
            $( $(#[doc = $doc:literal])+ $name:ident $(=> $target_field:ident)?: $written:ty = $form:expr
                $(, $option:ident($($value:expr),*))*; )*
        } )*
    ) => {
        $crate::section::section! {
            @struct $(#[$attribute])* $raw
            [ $( [$($field_doc)*] $field $field_type [$($values $default)?] )* ]
            [ $( $( $name $written; )* )* ]
        }

        impl $raw {
            $(
                pub(crate) fn $group(
                    $($argument: $argument_type),*
                ) -> $crate::section::Section<Self, $target> {
                    $crate::section::Section::new($path, vec![ $( Box::new(
                        $crate::section::Row::<Self, $target, $written, _> {
                            name: stringify!($name),
                            doc: concat!($($doc),+),
                            form: $form,
                            written: |raw| raw.$name.as_ref(),
                            value: |target| {
                                &$crate::section::section!(@field target, $name $($target_field)?)
                            },
                            value_mut: |target| {
                                &mut $crate::section::section!(@field target, $name $($target_field)?)
                            },
                            other_variables: Vec::new(),
                            needs_restart: false,
                        }
                        $( .$option($($value),*) )*
                    ) ),* ])
                }
            )*
        }
    };
    (@field $target:ident, $name:ident) => { $target.$name };
    (@field $target:ident, $name:ident $target_field:ident) => { $target.$target_field };
    (@struct $(#[$attribute:meta])* $raw:ident
        [ $( [$($doc:literal)*] $field:ident $type:ty [$($values:literal $default:literal)?] )* ]
        [ $( $name:ident $written:ty; )* ]
    ) => {
        longshore_settings::part! {
            $(#[$attribute])*
            pub(crate) struct $raw {
                $( pub(crate) $name: Option<$written>, )*
                $( pub(crate) $field: Option<$type>, )*
            }
        }

        impl $crate::section::Structured for $raw {
            const FIELDS: &'static [$crate::section::Field] = &[ $(
                $crate::section::Field {
                    name: stringify!($field),
                    values: concat!($($values)?),
                    default: concat!($($default)?),
                    doc: concat!($($doc),*),
                }
            ),* ];
        }
    };
}

/// Declares an entry of a list in the file. Every setting of it is structured.
macro_rules! entry {
    (
        $(#[$attribute:meta])*
        $raw:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $values:literal, $default:literal; )*
        }
    ) => {
        $crate::section::section! {
            @struct $(#[$attribute])* $raw
            [ $( [$($doc)*] $field $type [$values $default] )* ]
            []
        }
    };
}

/// Declares the structured settings of a part of the file that another crate reads.
macro_rules! fields {
    ($(#[$attribute:meta])* $list:ident {
        $( $(#[doc = $doc:literal])+ $name:ident = $values:literal, $default:literal; )*
    }) => {
        $(#[$attribute])*
        pub(crate) const $list: &[$crate::section::Field] = &[ $(
            $crate::section::Field {
                name: stringify!($name),
                values: $values,
                default: $default,
                doc: concat!($($doc),+),
            }
        ),* ];
    };
}

pub(crate) use {entry, fields, section};
