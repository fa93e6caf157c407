//! Operators and filters that cannot make more than they are allowed to.
//!
//! Fuel counts instructions, but one instruction may make any amount of text: `x ~ x`, `x[:]`,
//! `list | join(x)`. Whatever makes new values is therefore done here, and paid for in bytes out of
//! one purse for each rendering.

use std::{
    fmt::{self, Write as _},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters,
    machinery::{Instruction, Instructions},
    tests as jinja,
    value::{Kwargs, ValueKind},
};

use crate::limits::{FUEL, MAX_OUTPUT_BYTES, MAX_WORK_BYTES};

/// Bytes that may still be made.
#[derive(Clone)]
pub(super) struct Purse(Arc<AtomicUsize>);

impl Purse {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(super) fn left(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// # Errors
    /// When there is not so much left.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Error> {
        let pay = |left: usize| left.checked_sub(bytes);
        match self.0.fetch_update(Relaxed, Relaxed, pay) {
            Ok(_) => Ok(()),
            Err(_) => Err(too_much()),
        }
    }

    fn spend_for(&self, value: &Value) -> Result<(), Error> {
        self.spend(match value.as_str() {
            Some(text) => text.len(),
            None => value.len().unwrap_or_default() * size_of::<Value>(),
        })
    }
}

fn too_much() -> Error {
    let message = format!(
        "gives more than {MAX_OUTPUT_BYTES} bytes, or makes more than {MAX_WORK_BYTES} on the way"
    );
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Where expressions and statements are evaluated, paying out of `purse`.
pub(super) fn environment(purse: &Purse, longest_repeated: usize) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Each instruction repeats at most one literal text.
    let fuel = (16 * MAX_OUTPUT_BYTES / longest_repeated.max(1)).clamp(1000, FUEL as usize);
    environment.set_fuel(Some(fuel as u64));
    environment.add_filter("abs", filters::abs);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("round", filters::round);
    let mut pay = |name: &'static str, call: fn(&State<'_, '_>, Value) -> Result<Value, Error>| {
        let purse = purse.clone();
        environment.add_filter(name, move |state: &State<'_, '_>, value: Value| {
            purse.spend_for(&value)?;
            call(state, value)
        });
    };
    pay("length", |_, v| filters::length(&v).map(Value::from));
    pay("trim", |_, v| Ok(text(&v)?.trim().into()));
    pay("lower", |_, v| Ok(text(&v)?.to_lowercase().into()));
    pay("upper", |_, v| Ok(text(&v)?.to_uppercase().into()));
    let own = purse.clone();
    environment.add_filter(
        "sort",
        move |state: &State<'_, '_>, value: Value, options: Kwargs| {
            own.spend_for(&value)?;
            filters::sort(state, value, options)
        },
    );
    let own = purse.clone();
    environment.add_filter(
        "unique",
        move |state: &State<'_, '_>, value: Value, options: Kwargs| {
            own.spend_for(&value)?;
            filters::unique(state, value, options)
        },
    );
    let own = purse.clone();
    environment.add_filter("tojson", move |value: Value| {
        let mut counted = Counted(own.left());
        serde_json::to_writer(&mut counted, &value).map_err(|_| too_much())?;
        own.spend(2 * (own.left() - counted.0))?;
        filters::tojson(
            &value,
            None,
            std::iter::empty::<(String, Value)>().collect(),
        )
    });
    let own = purse.clone();
    environment.add_filter("join", move |list: Value, between: Option<Value>| {
        let mut joined = Capped::new(&own);
        let mut first = true;
        for item in list.try_iter()? {
            if !std::mem::take(&mut first)
                && let Some(between) = &between
            {
                joined.add(between)?;
            }
            joined.add(&item)?;
        }
        joined.value()
    });
    let own = purse.clone();
    environment.add_filter(ADD, move |a: Value, b: Value| add(&own, &a, &b));
    environment.add_filter(MULTIPLY, |a: Value, b: Value| multiply(&a, &b));
    let own = purse.clone();
    environment.add_filter(CONCATENATE, move |a: Value, b: Value| {
        let mut both = Capped::new(&own);
        both.add(&a)?;
        both.add(&b)?;
        both.value()
    });
    let own = purse.clone();
    environment.add_filter(
        SLICE,
        move |value: Value, start: Value, stop: Value, step: Value| {
            own.spend_for(&value)?;
            slice(&value, &start, &stop, &step)
        },
    );
    environment.add_test("defined", jinja::is_defined);
    environment.add_test("undefined", jinja::is_undefined);
    environment.add_test("none", jinja::is_none);
    environment.add_test("in", jinja::is_in);
    environment.add_test("string", jinja::is_string);
    environment.add_test("number", jinja::is_number);
    environment.add_test("startingwith", jinja::is_startingwith);
    environment.add_test("endingwith", jinja::is_endingwith);
    environment
}

const ADD: &str = "+";
const MULTIPLY: &str = "*";
const CONCATENATE: &str = "~";
const SLICE: &str = "[:]";

/// Replaces the operators that make new values by those of [`environment`].
pub(super) fn replace_operators(instructions: &mut Instructions<'_>) {
    // Such that no filter is remembered under the number of another.
    const NOT_REMEMBERED: u8 = !0;
    for place in 0.. {
        let Some(instruction) = instructions.get_mut(place) else {
            return;
        };
        let (name, arguments) = match instruction {
            Instruction::Add => (ADD, 2),
            Instruction::Mul => (MULTIPLY, 2),
            Instruction::StringConcat => (CONCATENATE, 2),
            Instruction::Slice => (SLICE, 4),
            _ => continue,
        };
        *instruction = Instruction::ApplyFilter(name, Some(arguments), NOT_REMEMBERED);
    }
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(())
}

fn text(value: &Value) -> Result<String, Error> {
    defined(value)?;
    let purse = Purse::new(2 * MAX_OUTPUT_BYTES);
    let mut text = Capped::new(&purse);
    text.add(value)?;
    Ok(text.text)
}

enum Number {
    Whole(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value.kind() {
        ValueKind::Bool => Some(Number::Whole(i128::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).ok().map(Number::Whole)
        }
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

fn calculate(
    sign: &str,
    (a, b): (&Value, &Value),
    whole: fn(i128, i128) -> Option<i128>,
    float: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let as_float = |number: Number| match number {
        Number::Whole(whole) => whole as f64,
        Number::Float(float) => float,
    };
    let result = match (number(a), number(b)) {
        (Some(Number::Whole(a)), Some(Number::Whole(b))) => {
            whole(a, b).map(|result| match i64::try_from(result) {
                Ok(result) => Value::from(result),
                Err(_) => Value::from(result),
            })
        }
        (Some(a), Some(b)) => Some(Value::from(float(as_float(a), as_float(b)))),
        _ => {
            let message = format!("`{sign}` does not take {} and {}", a.kind(), b.kind());
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    };
    result.ok_or_else(|| {
        let message = format!("the result of `{sign}` is out of range");
        Error::new(ErrorKind::InvalidOperation, message)
    })
}

fn add(purse: &Purse, a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a)?;
    defined(b)?;
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        purse.spend(left.len() + right.len())?;
        return Ok(Value::from([left, right].concat()));
    }
    let is_list = |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) {
        let mut items = Vec::new();
        for item in a.try_iter()?.chain(b.try_iter()?) {
            purse.spend(2 * size_of::<Value>())?;
            items.push(item);
        }
        return Ok(Value::from(items));
    }
    calculate("+", (a, b), i128::checked_add, |a, b| a + b)
}

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a)?;
    defined(b)?;
    calculate("*", (a, b), i128::checked_mul, |a, b| a * b)
}

/// `value[start:stop:step]`, as in Python.
fn slice(value: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Error> {
    let whole = |value: &Value| -> Result<Option<i64>, Error> {
        if value.is_none() {
            return Ok(None);
        }
        i64::try_from(value.clone()).map(Some)
    };
    let (start, stop) = (whole(start)?, whole(stop)?);
    let step = whole(step)?.unwrap_or(1);
    if step == 0 {
        let message = "a slice cannot have steps of 0";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    if let Some(text) = value.as_str() {
        let chars: Vec<char> = text.chars().collect();
        let chosen: String = chosen(chars.len(), start, stop, step)
            .map(|i| chars[i])
            .collect();
        return Ok(Value::from(chosen));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let message = format!("{} cannot be sliced", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let items: Vec<Value> = value.try_iter()?.collect();
    let chosen: Vec<Value> = chosen(items.len(), start, stop, step)
        .map(|i| items[i].clone())
        .collect();
    Ok(Value::from(chosen))
}

fn chosen(
    len: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    // Lists are far shorter than this type can count.
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (least, most) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let place = |given: Option<i64>, otherwise: i64| match given {
        None => otherwise,
        Some(at) if at < 0 => at.saturating_add(len).clamp(least, most),
        Some(at) => at.clamp(least, most),
    };
    let (first, end) = if step > 0 {
        (place(start, 0), place(stop, len))
    } else {
        (place(start, len - 1), place(stop, -1))
    };
    std::iter::successors(Some(first), move |at| at.checked_add(step))
        .take_while(move |&at| if step > 0 { at < end } else { at > end })
        .filter_map(|at| usize::try_from(at).ok())
}

/// A text that stops growing when the purse is empty.
struct Capped<'a> {
    text: String,
    purse: &'a Purse,
}

impl<'a> Capped<'a> {
    const fn new(purse: &'a Purse) -> Self {
        Self {
            text: String::new(),
            purse,
        }
    }

    fn add(&mut self, value: &Value) -> Result<(), Error> {
        defined(value)?;
        write!(self, "{value}").map_err(|_| too_much())
    }

    fn value(self) -> Result<Value, Error> {
        Ok(Value::from(self.text))
    }
}

impl fmt::Write for Capped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Growing may double the buffer.
        self.purse.spend(2 * text.len()).map_err(|_| fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

/// Counts down what is written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or_else(|| io::Error::other("too much"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
