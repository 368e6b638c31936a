//! Refuses file systems that do not suit a log.

use std::fs::File;
use std::io;

/// Refuses a directory on a file system whose locks and syncs cannot be relied on.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
#[cfg(target_os = "linux")]
pub(super) fn refuse(directory: &File) -> io::Result<()> {
    // Signed on some machines, where the upper half repeats the sign.
    let magic = rustix::fs::fstatfs(directory)?.f_type as u64 & 0xFFFF_FFFF;
    match unsuitable(magic) {
        None => Ok(()),
        Some((name, why)) => {
            let text = format!("it is on {name}: {why}");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
    }
}

/// Other systems do not report the type of a file system in a known way.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse(_: &File) -> io::Result<()> {
    Ok(())
}

/// The name of an unsuitable file system, by its `statfs` magic number, and why it is.
#[cfg(any(target_os = "linux", test))]
fn unsuitable(magic: u64) -> Option<(&'static str, &'static str)> {
    const NETWORK: &str = "other machines may write to it concurrently, and its server decides \
                           whether locks and syncs hold";
    const FUSE: &str = "a program implements it and decides whether locks and syncs hold";
    Some(match magic {
        0x6969 => ("NFS", NETWORK),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => ("SMB", NETWORK),
        0x0102_1997 => ("9p", NETWORK),
        0x6573_5546 => ("FUSE", FUSE),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_and_fuse_are_refused_and_local_ones_are_not() {
        let name = |magic| unsuitable(magic).map(|(name, _)| name);
        for (magic, wanted) in [
            (0x6969, "NFS"),
            (0x517B, "SMB"),
            (0xFF53_4D42, "SMB"),
            (0xFE53_4D42, "SMB"),
            (0x0102_1997, "9p"),
            (0x6573_5546, "FUSE"),
        ] {
            assert_eq!(name(magic), Some(wanted), "{magic:x}");
        }
        for (magic, local) in [
            (0xEF53, "ext4"),
            (0x5846_5342, "xfs"),
            (0x9123_683E, "btrfs"),
            (0x2FC1_2FC1, "zfs"),
            (0xCA45_1A4E, "bcachefs"),
            (0xF2F5_2010, "f2fs"),
            (0x794C_7630, "overlayfs"),
            (0x0102_1994, "tmpfs"),
        ] {
            assert_eq!(name(magic), None, "{local}");
        }
    }
}
