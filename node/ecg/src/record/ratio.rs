//! Exact fractions for gains and rates.
//!
//! Files write gains as decimals (`38777.46675997201`), and a decimal is a
//! fraction: 3877746675997201 / 10^11. Keeping it so makes the map from file
//! value to microvolts exact in both directions and equal on every machine.
//! All operations are checked: a number that does not fit is `None`, never a
//! rounded value. The fraction is always reduced and its denominator is not 0.

/// A reduced fraction `num / den`, `den > 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    num: i64,
    den: u64,
}

/// Digits beyond this cannot fit a 64-bit numerator.
const DIGITS_MAX: usize = 19;
/// Powers of ten that fit a 64-bit denominator.
const EXPONENT_MAX: i32 = 19;

impl Ratio {
    /// 0 / 1.
    pub const ZERO: Self = Self { num: 0, den: 1 };
    /// 1 / 1.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// `num / den`, reduced; `None` when `den` is 0.
    #[must_use]
    pub fn new(num: i64, den: u64) -> Option<Self> {
        Self::reduce(i128::from(num), u128::from(den))
    }

    /// A whole number.
    #[must_use]
    pub fn whole(num: i64) -> Self {
        Self { num, den: 1 }
    }

    /// Reads a decimal such as `200`, `-0.5`, `1.25e-3`. No spaces.
    #[must_use]
    pub fn parse_decimal(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if mantissa.len() > 64 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if whole.is_empty() && !mantissa.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.len() > DIGITS_MAX {
            return None;
        }
        let mut num: i128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        if negative {
            num = -num;
        }
        let scale = i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
        if num == 0 {
            return Some(Self::ZERO);
        }
        if scale.abs() > EXPONENT_MAX {
            return None;
        }
        let power = 10_i128.pow(scale.unsigned_abs());
        if scale >= 0 {
            Self::reduce(num.checked_mul(power)?, 1)
        } else {
            Self::reduce(num, power as u128)
        }
    }

    fn reduce(num: i128, den: u128) -> Option<Self> {
        if den == 0 {
            return None;
        }
        let divisor = gcd(num.unsigned_abs(), den);
        let magnitude = i64::try_from(num.unsigned_abs() / divisor).ok()?;
        let den = u64::try_from(den / divisor).ok()?;
        Some(Self {
            num: if num < 0 { -magnitude } else { magnitude },
            den,
        })
    }

    /// Numerator, with the sign.
    #[must_use]
    pub fn num(self) -> i64 {
        self.num
    }

    /// Denominator, at least 1.
    #[must_use]
    pub fn den(self) -> u64 {
        self.den
    }

    /// True for 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.num == 0
    }

    /// Nearest `f64` but for two roundings.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Exact product, if it fits.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let num = i128::from(self.num) * i128::from(other.num);
        Self::reduce(num, u128::from(self.den) * u128::from(other.den))
    }

    /// Exact quotient, if it fits and `other` is not 0.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        let sign = if other.num < 0 { -1 } else { 1 };
        let num = i128::from(self.num) * i128::from(other.den) * sign;
        Self::reduce(num, u128::from(self.den) * u128::from(other.num.unsigned_abs()))
    }

    /// Exact difference, if it fits.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        let left = i128::from(self.num).checked_mul(i128::from(other.den))?;
        let right = i128::from(other.num).checked_mul(i128::from(self.den))?;
        Self::reduce(
            left.checked_sub(right)?,
            u128::from(self.den) * u128::from(other.den),
        )
    }

    /// The exact decimal, if one of at most `chars_max` characters exists.
    #[must_use]
    pub fn to_decimal(self, chars_max: usize) -> Option<String> {
        let mut places = 0_u32;
        let mut power = 1_u128;
        while !power.is_multiple_of(u128::from(self.den)) {
            places += 1;
            if places > EXPONENT_MAX.unsigned_abs() {
                return None;
            }
            power *= 10;
        }
        let scaled = u128::from(self.num.unsigned_abs()).checked_mul(power / u128::from(self.den))?;
        let sign = if self.num < 0 { "-" } else { "" };
        let text = if places == 0 {
            format!("{sign}{scaled}")
        } else {
            format!(
                "{sign}{}.{:0width$}",
                scaled / power,
                scaled % power,
                width = places as usize
            )
        };
        (text.len() <= chars_max).then_some(text)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
