//! The blst wrapper: every `unsafe` of the workspace, as safe functions over plain values.
//!
//! Functions with `vartime` in their names take time that depends on their arguments and must not
//! see a secret. The others are constant time in their scalars.
//!
//! Nothing here judges membership in the subgroup but [`in_subgroup`]: the types in `point` do.

#![allow(unsafe_code)]

use std::ptr;

use blst::{
    BLST_ERROR, blst_expand_message_xmd, blst_fp, blst_fp_cneg, blst_fp_from_bendian, blst_fp_mul,
    blst_fr, blst_fr_add, blst_fr_cneg, blst_fr_eucl_inverse, blst_fr_from_scalar,
    blst_fr_from_uint64, blst_fr_mul, blst_fr_sub, blst_hash_to_g1, blst_p1, blst_p1_add_or_double,
    blst_p1_add_or_double_affine, blst_p1_affine, blst_p1_affine_compress,
    blst_p1_affine_generator, blst_p1_affine_in_g1, blst_p1_affine_serialize, blst_p1_cneg,
    blst_p1_compress, blst_p1_double, blst_p1_from_affine, blst_p1_is_equal, blst_p1_is_inf,
    blst_p1_mult, blst_p1_to_affine, blst_p1_unchecked_mult, blst_p1_uncompress,
    blst_p1s_mult_pippenger, blst_p1s_mult_pippenger_scratch_sizeof, blst_p1s_to_affine,
    blst_scalar, blst_scalar_fr_check, blst_scalar_from_be_bytes, blst_scalar_from_bendian,
    blst_scalar_from_fr,
};

/// A point in affine coordinates; all zero is infinity.
pub(crate) type Affine = blst_p1_affine;
/// A point in Jacobian coordinates; z = 0 is infinity.
pub(crate) type Jacobian = blst_p1;
/// An element of the scalar field.
pub(crate) type Fr = blst_fr;

/// Bits of a full-size scalar.
pub(crate) const SCALAR_BITS: usize = 255;

/// |z|, where z is the parameter of the curve, which is negative: `r = z⁴ - z² + 1`.
pub(crate) const CURVE_PARAMETER: u64 = 0xd201_0000_0001_0000;

/// The cube root of unity in the base field that belongs to -z² among the scalars, big-endian.
const CUBE_ROOT: [u8; 48] = [
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5f, 0x19, 0x67, 0x2f, 0xdf, 0x76, 0xce, 0x51,
    0xba, 0x69, 0xc6, 0x07, 0x6a, 0x0f, 0x77, 0xea, 0xdd, 0xb3, 0xa9, 0x3b, 0xe6, 0xf8, 0x96, 0x88,
    0xde, 0x17, 0xd8, 0x13, 0x62, 0x0a, 0x00, 0x02, 0x2e, 0x01, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xfe,
];

/// Why 48 bytes are no finite point of the curve; flags and infinity are the caller's.
pub(crate) enum Undecodable {
    NotCanonical,
    NotOnCurve,
}

pub(crate) fn uncompress(bytes: &[u8; 48]) -> Result<Affine, Undecodable> {
    let mut point = Affine::default();
    // SAFETY: both pointers are valid for the 96 and 48 bytes that blst accesses.
    match unsafe { blst_p1_uncompress(&mut point, bytes.as_ptr()) } {
        // blst tells (0, ±2), of order 3, from the rest; the subgroup is judged elsewhere.
        BLST_ERROR::BLST_SUCCESS | BLST_ERROR::BLST_POINT_NOT_IN_GROUP => Ok(point),
        BLST_ERROR::BLST_POINT_NOT_ON_CURVE => Err(Undecodable::NotOnCurve),
        _ => Err(Undecodable::NotCanonical),
    }
}

pub(crate) fn compress_affine(point: &Affine) -> [u8; 48] {
    let mut bytes = [0; 48];
    // SAFETY: `bytes` has the 48 bytes that are written.
    unsafe { blst_p1_affine_compress(bytes.as_mut_ptr(), point) };
    bytes
}

pub(crate) fn serialize_affine(point: &Affine) -> [u8; 96] {
    let mut bytes = [0; 96];
    // SAFETY: `bytes` has the 96 bytes that are written.
    unsafe { blst_p1_affine_serialize(bytes.as_mut_ptr(), point) };
    bytes
}

pub(crate) fn compress(point: &Jacobian) -> [u8; 48] {
    let mut bytes = [0; 48];
    // SAFETY: `bytes` has the 48 bytes that are written.
    unsafe { blst_p1_compress(bytes.as_mut_ptr(), point) };
    bytes
}

pub(crate) fn in_subgroup(point: &Affine) -> bool {
    // SAFETY: the pointer is valid.
    unsafe { blst_p1_affine_in_g1(point) }
}

pub(crate) fn generator() -> Affine {
    // SAFETY: blst returns a pointer to its static generator.
    unsafe { *blst_p1_affine_generator() }
}

/// RFC 9380 `hash_to_curve`, suite `BLS12381G1_XMD:SHA-256_SSWU_RO_`.
pub(crate) fn hash_to_curve(message: &[u8], destination: &[u8]) -> Jacobian {
    let mut point = Jacobian::default();
    // SAFETY: every pointer comes with its length; the empty augmentation is never read.
    unsafe {
        blst_hash_to_g1(
            &mut point,
            message.as_ptr(),
            message.len(),
            destination.as_ptr(),
            destination.len(),
            ptr::null(),
            0,
        );
    }
    point
}

/// RFC 9380 `expand_message_xmd` with SHA-256.
pub(crate) fn expand_message_xmd<const N: usize>(message: &[u8], destination: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    // SAFETY: every pointer comes with its length.
    unsafe {
        blst_expand_message_xmd(
            out.as_mut_ptr(),
            N,
            message.as_ptr(),
            message.len(),
            destination.as_ptr(),
            destination.len(),
        );
    }
    out
}

pub(crate) fn to_jacobian(point: &Affine) -> Jacobian {
    let mut out = Jacobian::default();
    // SAFETY: both pointers are valid.
    unsafe { blst_p1_from_affine(&mut out, point) };
    out
}

pub(crate) fn to_affine(point: &Jacobian) -> Affine {
    let mut out = Affine::default();
    // SAFETY: both pointers are valid.
    unsafe { blst_p1_to_affine(&mut out, point) };
    out
}

/// All points in affine coordinates, with one inversion for many of them.
pub(crate) fn to_affine_many(points: &[Jacobian]) -> Vec<Affine> {
    let mut out = vec![Affine::default(); points.len()];
    if points.is_empty() {
        return out;
    }
    let inputs = [points.as_ptr(), ptr::null()];
    // SAFETY: a null pointer after the first says that the points are contiguous, which a slice
    // is; `out` has room for as many; none is empty.
    unsafe { blst_p1s_to_affine(out.as_mut_ptr(), inputs.as_ptr(), points.len()) };
    out
}

pub(crate) fn add(left: &Jacobian, right: &Jacobian) -> Jacobian {
    let mut out = Jacobian::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_p1_add_or_double(&mut out, left, right) };
    out
}

pub(crate) fn add_assign_affine(left: &mut Jacobian, right: &Affine) {
    let left: *mut Jacobian = left;
    // SAFETY: the pointers are valid; blst allows output and input to be the same point.
    unsafe { blst_p1_add_or_double_affine(left, left, right) };
}

pub(crate) fn double(point: &Jacobian) -> Jacobian {
    let mut out = Jacobian::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_p1_double(&mut out, point) };
    out
}

pub(crate) fn negate(mut point: Jacobian) -> Jacobian {
    // SAFETY: the pointer is valid.
    unsafe { blst_p1_cneg(&mut point, true) };
    point
}

pub(crate) fn negate_affine(mut point: Affine) -> Affine {
    let y: *mut _ = &mut point.y;
    // SAFETY: the pointer is valid; blst allows output and input to be the same element.
    unsafe { blst_fp_cneg(y, y, true) };
    point
}

/// `φ(x, y) = (βx, y)` with a cube root of unity β: a homomorphism of the curve, and on the
/// subgroup the multiplication by -z².
pub(crate) fn endomorphism(point: &Affine) -> Affine {
    let (mut root, mut out) = (blst_fp::default(), *point);
    // SAFETY: `CUBE_ROOT` has the 48 bytes that are read, the other pointers are valid.
    unsafe {
        blst_fp_from_bendian(&mut root, CUBE_ROOT.as_ptr());
        blst_fp_mul(&mut out.x, &point.x, &root);
    }
    out
}

pub(crate) fn equal(left: &Jacobian, right: &Jacobian) -> bool {
    // SAFETY: the pointers are valid.
    unsafe { blst_p1_is_equal(left, right) }
}

pub(crate) fn is_infinity(point: &Jacobian) -> bool {
    // SAFETY: the pointer is valid.
    unsafe { blst_p1_is_inf(point) }
}

/// `scalar · point` for a point of the subgroup, in constant time.
pub(crate) fn multiply(point: &Jacobian, scalar: &Fr) -> Jacobian {
    let scalar = plain(scalar);
    let mut out = Jacobian::default();
    // SAFETY: the pointers are valid; the scalar has the 32 bytes that 255 bits take.
    unsafe { blst_p1_mult(&mut out, point, scalar.b.as_ptr(), SCALAR_BITS) };
    out
}

/// `scalar · point` for any point of the curve and a short scalar, exactly.
pub(crate) fn multiply_short_vartime(point: &Affine, scalar: u128) -> Jacobian {
    let point = to_jacobian(point);
    let scalar = scalar.to_le_bytes();
    let mut out = Jacobian::default();
    // SAFETY: the pointers are valid; the scalar has the 16 bytes that 128 bits take.
    unsafe { blst_p1_unchecked_mult(&mut out, &point, scalar.as_ptr(), 128) };
    out
}

/// `Σ scalar_j · point_j` for finite points; scalars are little-endian, contiguous, of
/// `bits` bits in `bits.div_ceil(8)` bytes each.
pub(crate) fn multi_scalar_vartime(points: &[Affine], scalars: &[u8], bits: usize) -> Jacobian {
    let mut out = Jacobian::default();
    assert_eq!(scalars.len(), points.len() * bits.div_ceil(8), "one scalar for every point");
    if points.is_empty() || bits == 0 {
        return out;
    }
    let point_inputs = [points.as_ptr(), ptr::null()];
    let scalar_inputs = [scalars.as_ptr(), ptr::null()];
    // SAFETY: null pointers after the first say that points and scalars are contiguous, which the
    // slices are, and the assertion above gives them the lengths that blst assumes; the scratch
    // space has the size it asks for.
    unsafe {
        let scratch_bytes = blst_p1s_mult_pippenger_scratch_sizeof(points.len());
        let mut scratch = vec![0u64; scratch_bytes.div_ceil(8)];
        blst_p1s_mult_pippenger(
            &mut out,
            point_inputs.as_ptr(),
            points.len(),
            scalar_inputs.as_ptr(),
            bits,
            scratch.as_mut_ptr(),
        );
    }
    out
}

/// The scalar with these big-endian bytes, if they are below r.
pub(crate) fn scalar_from_be_bytes(bytes: &[u8; 32]) -> Option<Fr> {
    let mut scalar = blst_scalar::default();
    // SAFETY: both pointers are valid for 32 bytes.
    let canonical = unsafe {
        blst_scalar_from_bendian(&mut scalar, bytes.as_ptr());
        blst_scalar_fr_check(&scalar)
    };
    canonical.then(|| field(&scalar))
}

/// `OS2IP(bytes) mod r`.
pub(crate) fn scalar_from_wide_be_bytes(bytes: &[u8]) -> Fr {
    let mut scalar = blst_scalar::default();
    // SAFETY: the pointer comes with its length.
    unsafe { blst_scalar_from_be_bytes(&mut scalar, bytes.as_ptr(), bytes.len()) };
    field(&scalar)
}

pub(crate) fn scalar_from_u128(number: u128) -> Fr {
    let limbs = [number as u64, (number >> 64) as u64, 0, 0];
    let mut out = Fr::default();
    // SAFETY: blst reads the four limbs that are there.
    unsafe { blst_fr_from_uint64(&mut out, limbs.as_ptr()) };
    out
}

pub(crate) fn scalar_to_le_bytes(scalar: &Fr) -> [u8; 32] {
    plain(scalar).b
}

pub(crate) fn scalar_add(left: &Fr, right: &Fr) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_add(&mut out, left, right) };
    out
}

pub(crate) fn scalar_subtract(left: &Fr, right: &Fr) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_sub(&mut out, left, right) };
    out
}

pub(crate) fn scalar_multiply(left: &Fr, right: &Fr) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_mul(&mut out, left, right) };
    out
}

pub(crate) fn scalar_negate(scalar: &Fr) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_cneg(&mut out, scalar, true) };
    out
}

/// `1 / scalar`; zero for zero.
pub(crate) fn scalar_invert_vartime(scalar: &Fr) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_eucl_inverse(&mut out, scalar) };
    out
}

fn plain(scalar: &Fr) -> blst_scalar {
    let mut out = blst_scalar::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_scalar_from_fr(&mut out, scalar) };
    out
}

fn field(scalar: &blst_scalar) -> Fr {
    let mut out = Fr::default();
    // SAFETY: the pointers are valid.
    unsafe { blst_fr_from_scalar(&mut out, scalar) };
    out
}
