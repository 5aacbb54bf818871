//! A mapping of a file that others may shorten.
//!
//! To touch a page that its file has lost ends the process, by SIGBUS. Where that can be helped (on
//! Linux), the page is replaced by one of zeros that no file has, and the mapping says so from then
//! on. A handler for the signal is the only way: a check before each access would cost a system call,
//! and come too early. Other faults go to the handler that was there before.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// A mapping that knows whether its file was shortened under it.
#[derive(Debug)]
pub(crate) struct Watched {
    map: MmapMut,
    #[cfg(target_os = "linux")]
    watch: Option<&'static linux::Watch>,
}

impl Watched {
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the file belongs to the one journal that holds its identity, and that is open in
        // one process at a time. Bytes that others change are only bytes; those that they cut off
        // are seen to above.
        let map = unsafe { MmapMut::map_mut(file)? };
        #[cfg(target_os = "linux")]
        let watch = linux::watch(map.as_ptr() as usize, map.len());
        Ok(Self {
            map,
            #[cfg(target_os = "linux")]
            watch,
        })
    }

    /// Whether bytes were written, or read, that are in no file.
    #[inline]
    pub(crate) fn is_shortened(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.watch.is_some_and(linux::Watch::is_hit);
        #[cfg(not(target_os = "linux"))]
        false
    }
}

#[cfg(target_os = "linux")]
impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = self.watch {
            watch.end();
        }
    }
}

impl Deref for Watched {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for Watched {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

    use libc::{c_int, c_void, sigaction, siginfo_t};

    /// Mappings that are watched at a time; more are mapped, but not watched.
    const MOST: usize = 256;
    static WATCHES: [Watch; MOST] = [const { Watch::free() }; MOST];
    /// What was there before our handler.
    static BEFORE: AtomicPtr<sigaction> = AtomicPtr::new(ptr::null_mut());

    /// The addresses of one mapping.
    #[derive(Debug)]
    pub(super) struct Watch {
        is_taken: AtomicBool,
        start: AtomicUsize,
        /// 0 while it watches nothing.
        len: AtomicUsize,
        is_hit: AtomicBool,
    }

    impl Watch {
        const fn free() -> Self {
            Self {
                is_taken: AtomicBool::new(false),
                start: AtomicUsize::new(0),
                len: AtomicUsize::new(0),
                is_hit: AtomicBool::new(false),
            }
        }

        #[inline]
        pub(super) fn is_hit(&self) -> bool {
            self.is_hit.load(Ordering::Relaxed)
        }

        pub(super) fn end(&self) {
            self.len.store(0, Ordering::SeqCst);
            self.is_taken.store(false, Ordering::SeqCst);
        }

        fn holds(&self, address: usize) -> bool {
            let (start, len) = (self.start.load(Ordering::SeqCst), self.len.load(Ordering::SeqCst));
            address.checked_sub(start).is_some_and(|at| at < len)
        }
    }

    /// Watches these addresses; `None` if no more can be watched.
    pub(super) fn watch(start: usize, len: usize) -> Option<&'static Watch> {
        install()?;
        let free = |watch: &&Watch| !watch.is_taken.swap(true, Ordering::SeqCst);
        let watch = WATCHES.iter().find(free)?;
        watch.is_hit.store(false, Ordering::SeqCst);
        watch.start.store(start, Ordering::SeqCst);
        watch.len.store(len, Ordering::SeqCst);
        Some(watch)
    }

    /// Puts our handler before what is there, unless it is ours.
    ///
    /// Without a lock, which a fork could leave locked for ever: two threads at a time put it there twice.
    fn install() -> Option<()> {
        let ours = on_bus_error as *const () as usize;
        // SAFETY: a `sigaction` of zeros is one; both calls get valid pointers, or none. What is
        // leaked is small, and can be read by a handler that runs on another thread.
        unsafe {
            let mut before: sigaction = MaybeUninit::zeroed().assume_init();
            if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) != 0 {
                return None;
            }
            if before.sa_sigaction == ours {
                return Some(());
            }
            BEFORE.store(Box::into_raw(Box::new(before)), Ordering::SeqCst);
            let mut action: sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = ours;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            (libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0).then_some(())
        }
    }

    /// Only what is allowed in a handler: atomics and system calls.
    extern "C" fn on_bus_error(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
        // SAFETY: the kernel hands over a valid `info`; the page that is replaced belongs to one of
        // our mappings, and whatever it held is gone.
        unsafe {
            let address = (*info).si_addr() as usize;
            if let Some(watch) = WATCHES.iter().find(|watch| watch.holds(address)) {
                let size = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
                let page = (address & !(size - 1)) as *mut c_void;
                let (access, kind) = (
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                );
                if libc::mmap(page, size, access, kind, -1, 0) != libc::MAP_FAILED {
                    watch.is_hit.store(true, Ordering::SeqCst);
                    return;
                }
            }
            // Not ours: the access is made again, and goes to what was there before.
            libc::sigaction(libc::SIGBUS, BEFORE.load(Ordering::SeqCst), ptr::null_mut());
        }
    }
}
