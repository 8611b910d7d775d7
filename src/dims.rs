//! Dims: sizes known only by name, as polynomials over symbols with whole coefficients, plus opaque `floor(a / b)`
//! terms. Two dims are equal if their normal forms are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A size that has a name and no number yet. Two symbols are the same if their ids are.
#[derive(Clone, Debug)]
pub struct Sym {
    pub id: u32,
    pub name: Arc<str>,
}

impl PartialEq for Sym {
    fn eq(&self, other: &Sym) -> bool {
        self.id == other.id
    }
}
impl Eq for Sym {}
impl PartialOrd for Sym {
    fn partial_cmp(&self, other: &Sym) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sym {
    fn cmp(&self, other: &Sym) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

/// A factor of a term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    Sym(Sym),
    /// `floor(numerator / denominator)`, kept where it cannot be reduced.
    Floor(Box<Dim>, Box<Dim>),
}

/// A product of atoms, each with its power; empty for the constant term.
type Product = Vec<(Atom, u32)>;

/// A polynomial in normal form: no zero coefficients, terms and factors sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Dim {
    /// Shared: dims are copied far more often than they are made.
    terms: Arc<BTreeMap<Product, i64>>,
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        let mut terms = BTreeMap::new();
        if value != 0 {
            terms.insert(Vec::new(), value);
        }
        Dim { terms: Arc::new(terms) }
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Dim {
        Dim::from(value as i64)
    }
}

impl From<Atom> for Dim {
    fn from(atom: Atom) -> Dim {
        Dim { terms: Arc::new(BTreeMap::from([(vec![(atom, 1)], 1)])) }
    }
}

impl From<Sym> for Dim {
    fn from(sym: Sym) -> Dim {
        Dim::from(Atom::Sym(sym))
    }
}

/// More terms than this are no size of a tensor.
const MOST_TERMS: usize = 256;

/// Symbols from this id on stand for results that do not fit in 64 bits, each its own, so that none equals another.
const HUGE: u32 = 1 << 31;

impl Dim {
    /// What stands for a size that does not fit in 64 bits, or that has too many terms.
    fn huge() -> Dim {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = HUGE | (NEXT.fetch_add(1, Ordering::Relaxed) & (HUGE - 1));
        Dim::from(Sym { id, name: "(too large)".into() })
    }

    /// True if an operation on the way to this size overflowed: it is not known, and equal to nothing.
    pub fn is_huge(&self) -> bool {
        let mut found = false;
        self.visit(&mut |s| found |= s.id >= HUGE);
        found
    }

    /// The number, if there is no symbol in it.
    pub fn number(&self) -> Option<i64> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// The symbol, if it is nothing but one.
    pub fn as_sym(&self) -> Option<&Sym> {
        let (product, &coefficient) = self.terms.first_key_value()?;
        match product.as_slice() {
            [(Atom::Sym(sym), 1)] if coefficient == 1 && self.terms.len() == 1 => Some(sym),
            _ => None,
        }
    }

    pub fn add(&self, other: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a.checked_add(b).map_or_else(Dim::huge, Dim::from);
        }
        let mut terms = (*self.terms).clone();
        for (product, c) in other.terms.iter() {
            let Some(sum) = terms.get(product).copied().unwrap_or(0).checked_add(*c) else { return Dim::huge() };
            if sum == 0 {
                terms.remove(product);
            } else {
                terms.insert(product.clone(), sum);
            }
        }
        if terms.len() > MOST_TERMS { Dim::huge() } else { Dim { terms: Arc::new(terms) } }
    }

    pub fn scale(&self, by: i64) -> Dim {
        if by == 0 {
            return Dim::default();
        }
        let scaled = self.terms.iter().map(|(p, c)| Some((p.clone(), c.checked_mul(by)?)));
        scaled.collect::<Option<BTreeMap<_, _>>>().map_or_else(Dim::huge, |terms| Dim { terms: Arc::new(terms) })
    }

    pub fn sub(&self, other: &Dim) -> Dim {
        self.add(&other.scale(-1))
    }

    pub fn mul(&self, other: &Dim) -> Dim {
        if let Some(n) = other.number() {
            return self.scale(n);
        }
        if self.terms.len() * other.terms.len() > 16 * MOST_TERMS {
            return Dim::huge();
        }
        let mut sum: BTreeMap<Product, i64> = BTreeMap::new();
        for (p, c) in self.terms.iter() {
            for (q, d) in other.terms.iter() {
                let mut factors: BTreeMap<Atom, u32> = p.iter().cloned().collect();
                for (atom, power) in q {
                    let so_far = factors.entry(atom.clone()).or_insert(0);
                    *so_far = so_far.saturating_add(*power);
                }
                let product: Product = factors.into_iter().collect();
                let highest = product.iter().map(|(_, power)| *power).max().unwrap_or(0);
                let before = sum.get(&product).copied().unwrap_or(0);
                match c.checked_mul(*d).and_then(|n| n.checked_add(before)) {
                    Some(0) => drop(sum.remove(&product)),
                    Some(n) if highest <= 64 => drop(sum.insert(product, n)),
                    _ => return Dim::huge(),
                }
            }
        }
        if sum.len() > MOST_TERMS { Dim::huge() } else { Dim { terms: Arc::new(sum) } }
    }

    /// The exact quotient, if every term divides.
    pub fn exact_div(&self, by: &Dim) -> Option<Dim> {
        if by.terms.len() != 1 {
            return (self == by && !self.terms.is_empty()).then(|| Dim::from(1i64));
        }
        let (divisor, &d) = by.terms.first_key_value()?;
        let mut terms = BTreeMap::new();
        for (product, &c) in self.terms.iter() {
            if c.checked_rem(d)? != 0 {
                return None;
            }
            let mut rest: BTreeMap<Atom, u32> = product.iter().cloned().collect();
            for (atom, power) in divisor {
                let left = rest.get(atom).copied()?.checked_sub(*power)?;
                if left == 0 {
                    rest.remove(atom);
                } else {
                    rest.insert(atom.clone(), left);
                }
            }
            terms.insert(rest.into_iter().collect(), c.checked_div(d)?);
        }
        Some(Dim { terms: Arc::new(terms) })
    }

    /// `floor(self / by)`: terms that divide exactly leave the floor, the rest stays as one opaque atom.
    pub fn floor_div(&self, by: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.number(), by.number())
            && b != 0
        {
            return a.checked_div_euclid(b).map_or_else(Dim::huge, Dim::from);
        }
        if let Some(exact) = self.exact_div(by) {
            return exact;
        }
        let (mut whole, mut rest) = (Dim::default(), Dim::default());
        for (product, &c) in self.terms.iter() {
            let term = Dim { terms: Arc::new(BTreeMap::from([(product.clone(), c)])) };
            match term.exact_div(by) {
                Some(q) => whole = whole.add(&q),
                None => rest = rest.add(&term),
            }
        }
        // The constant keeps only its remainder inside, so that equal dims have equal forms.
        if let (Some(b), Some(&c)) = (by.number(), rest.terms.get(&Vec::new()))
            && b > 0
        {
            whole = whole.add(&Dim::from(c.div_euclid(b)));
            rest = rest.sub(&Dim::from(c - c.rem_euclid(b)));
        }
        match rest.number() {
            Some(r) if by.number().is_some_and(|b| b > 0 && r < b) => whole,
            _ => whole.add(&Dim::from(Atom::Floor(Box::new(rest), Box::new(by.clone())))),
        }
    }

    /// Every symbol in it, floors included.
    pub fn symbols(&self) -> Vec<Sym> {
        let mut found = Vec::new();
        self.visit(&mut |s| {
            if !found.contains(s) {
                found.push(s.clone());
            }
        });
        found
    }

    /// Shows every symbol in it, as often as it stands there.
    pub fn visit(&self, see: &mut impl FnMut(&Sym)) {
        for product in self.terms.keys() {
            for (atom, _) in product {
                match atom {
                    Atom::Sym(s) => see(s),
                    Atom::Floor(a, b) => {
                        a.visit_dyn(see);
                        b.visit_dyn(see);
                    }
                }
            }
        }
    }

    fn visit_dyn(&self, see: &mut dyn FnMut(&Sym)) {
        self.visit(&mut |s| see(s));
    }

    /// Replaces symbols; those for which `with` gives nothing stay.
    pub fn substitute(&self, with: &dyn Fn(&Sym) -> Option<Dim>) -> Dim {
        let mut sum = Dim::default();
        for (product, &c) in self.terms.iter() {
            let mut term = Dim::from(c);
            for (atom, power) in product {
                let value = match atom {
                    Atom::Sym(s) => with(s).unwrap_or_else(|| Dim::from(s.clone())),
                    Atom::Floor(a, b) => a.substitute(with).floor_div(&b.substitute(with)),
                };
                for _ in 0..*power {
                    term = term.mul(&value);
                }
            }
            sum = sum.add(&term);
        }
        sum
    }

    /// Solves `self = value` for `sym`, where `self` is linear in it: `c * sym + rest = value`.
    pub fn solve(&self, sym: &Sym, value: &Dim) -> Option<Dim> {
        let mut coefficient = Dim::default();
        let mut rest = Dim::default();
        for (product, &c) in self.terms.iter() {
            let term = Dim { terms: Arc::new(BTreeMap::from([(product.clone(), c)])) };
            if !term.symbols().contains(sym) {
                rest = rest.add(&term);
                continue;
            }
            coefficient = coefficient.add(&term.exact_div(&Dim::from(sym.clone()))?);
        }
        if coefficient.symbols().contains(sym) {
            return None;
        }
        value.sub(&rest).exact_div(&coefficient)
    }

    /// True if the two can never be equal: they differ by a number other than 0.
    pub fn contradicts(&self, other: &Dim) -> bool {
        self.sub(other).number().is_some_and(|n| n != 0)
    }
}

/// In parentheses if it is more than one name or number.
fn grouped(dim: &Dim) -> String {
    let text = dim.to_string();
    if text.contains(' ') { format!("({text})") } else { text }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // The constant sorts first; people write it last.
        let ordered =
            self.terms.iter().filter(|(p, _)| !p.is_empty()).chain(self.terms.iter().filter(|(p, _)| p.is_empty()));
        for (i, (product, &c)) in ordered.enumerate() {
            match (i, c < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut first = true;
            if c.abs() != 1 || product.is_empty() {
                write!(f, "{}", c.unsigned_abs())?;
                first = false;
            }
            for (atom, power) in product {
                if !first {
                    f.write_str(" * ")?;
                }
                first = false;
                match atom {
                    Atom::Sym(s) => f.write_str(&s.name)?,
                    Atom::Floor(a, b) => write!(f, "floor({} / {})", grouped(a), grouped(b))?,
                }
                if *power > 1 {
                    write!(f, " ^ {power}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sym(id: u32, name: &str) -> Sym {
        Sym { id, name: name.into() }
    }

    #[test]
    fn normal_forms_agree() {
        let (b, h) = (Dim::from(sym(0, "B")), Dim::from(sym(1, "H")));
        let left = b.add(&h).mul(&Dim::from(2i64));
        let right = h.scale(2).add(&b).add(&b);
        assert_eq!(left, right);
        assert_eq!(left.to_string(), "2 * B + 2 * H");
        assert_eq!(left.exact_div(&Dim::from(2i64)), Some(b.add(&h)));
        assert_eq!(b.exact_div(&Dim::from(2i64)), None);
    }

    #[test]
    fn whole_numbers_leave_the_floor() {
        let t = Dim::from(sym(0, "T"));
        let two = Dim::from(2i64);
        let a = t.add(&Dim::from(5i64)).floor_div(&two);
        let b = t.add(&Dim::from(1i64)).floor_div(&two).add(&two);
        assert_eq!(a, b);
        assert_eq!(t.scale(4).floor_div(&two), t.scale(2));
        assert_eq!(Dim::from(7i64).floor_div(&two).number(), Some(3));
        assert_eq!(a.substitute(&|_| Some(Dim::from(9i64))).number(), Some(7));
    }

    #[test]
    fn what_overflows_equals_nothing() {
        let most = Dim::from(i64::MAX);
        let (a, b) = (most.add(&Dim::from(1i64)), most.add(&Dim::from(1i64)));
        assert!(a.is_huge() && a != b && a.number().is_none());
        assert!(most.mul(&most).is_huge() && most.scale(-2).is_huge());
        assert!(!most.scale(-1).is_huge());
        assert!(Dim::from(i64::MIN).floor_div(&Dim::from(-1i64)).is_huge());
        let sums = (0..40).fold(Dim::from(1i64), |p, i| p.mul(&Dim::from(sym(i, "n")).add(&Dim::from(1i64))));
        assert!(sums.is_huge());
    }

    #[test]
    fn solves_linear_equations() {
        let h = sym(0, "H");
        let pattern = Dim::from(h.clone()).scale(4).add(&Dim::from(1i64));
        assert_eq!(pattern.solve(&h, &Dim::from(29i64)), Some(Dim::from(7i64)));
        assert_eq!(pattern.solve(&h, &Dim::from(30i64)), None);
        assert!(Dim::from(3i64).contradicts(&Dim::from(4i64)));
        assert!(!Dim::from(h).contradicts(&Dim::from(4i64)));
    }
}
