//! A hash table of event ids in two arrays that numpy owns: id (0: free) and the code of its pane.
//!
//! Open addressing with linear probing; the number of slots is a power of two and at least one of them is free. Ids are well-mixed
//! hashes already, so their low bits are their home.

/// The arrays.
pub struct Table<'a> {
    /// Ids by slot, 0 where the slot is free.
    pub ids: &'a mut [u64],
    /// Code of the pane by slot.
    pub codes: &'a mut [u32],
}

impl Table<'_> {
    /// The slot that holds an id, or the free one where it belongs.
    #[inline]
    fn slot(&self, id: u64) -> usize {
        let mask = self.ids.len() - 1;
        let mut slot = id as usize & mask;
        // As many looks as there are slots: a table without a free one must not become an endless loop.
        for _ in 0..=mask {
            if self.ids[slot] == id || self.ids[slot] == 0 {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// The pane end of each id, or -1; `panes` holds pane ends by code.
    pub fn look_up(&self, panes: &[i64], ids: &[u64], found: &mut [i64]) {
        for (id, found) in ids.iter().zip(found) {
            let slot = self.slot(*id);
            *found = if self.ids[slot] == *id { panes[self.codes[slot] as usize] } else { -1 };
        }
    }

    /// Remember an id; answers whether it was not there.
    #[inline]
    fn put(&mut self, id: u64, code: u32) -> bool {
        let slot = self.slot(id);
        let new = self.ids[slot] != id;
        self.ids[slot] = id;
        self.codes[slot] = code;
        new
    }

    /// Remember ids; one that is there already gets the new code. Answers how many were not there.
    pub fn insert(&mut self, ids: &[u64], codes: &[u32]) -> usize {
        let mut new = 0;
        for (id, code) in ids.iter().zip(codes) {
            new += usize::from(self.put(*id, *code));
        }
        new
    }

    /// Remember all that another table does.
    pub fn take_in(&mut self, other: &Table) {
        for (id, code) in other.ids.iter().zip(&*other.codes) {
            if *id != 0 {
                self.put(*id, *code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn ids_that_collide_are_all_found() {
        let (mut ids, mut codes) = (vec![0; 8], vec![0; 8]);
        let mut table = Table { ids: &mut ids, codes: &mut codes };
        assert_eq!(table.insert(&[7, 15, 23, 1], &[0, 1, 2, 3]), 4);
        assert_eq!(table.insert(&[15], &[4]), 0);
        let (panes, mut found) = ([10, 20, 30, 40, 50], [0; 6]);
        table.look_up(&panes, &[7, 15, 23, 1, 31, 2], &mut found);
        assert_eq!(found, [10, 50, 30, 40, -1, -1]);

        let (mut ids, mut codes) = (vec![0; 16], vec![0; 16]);
        let mut larger = Table { ids: &mut ids, codes: &mut codes };
        larger.take_in(&table);
        larger.look_up(&panes, &[7, 15, 23, 1, 31, 2], &mut found);
        assert_eq!(found, [10, 50, 30, 40, -1, -1]);
    }

    #[test]
    fn a_full_table_is_no_endless_loop() {
        let (mut ids, mut codes) = (vec![1, 2], vec![0, 0]);
        let mut found = [0];
        Table { ids: &mut ids, codes: &mut codes }.look_up(&[5], &[3], &mut found);
        assert_eq!(found, [-1]);
    }
}
