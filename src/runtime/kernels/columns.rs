//! placeholder
use super::tile::GROUP;
/// G
pub(super) struct Gather {
    pub offsets: [u32; GROUP],
    pub windows: [u32; GROUP],
    pub lanes: [u32; GROUP],
    pub masks: [u16; GROUP],
    pub count: usize,
}
impl Gather {
    #[inline(always)]
    pub fn contiguous(&self) -> bool {
        self.count == 1
    }
}
