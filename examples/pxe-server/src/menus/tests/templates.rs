//! Templates as clients get them.

use super::*;
use crate::fact::What;

#[tokio::test]
async fn a_template_is_filled_in_for_each_client() {
    let site = Site::new("[menu]\ntemplates = [\"/pxelinux.cfg/*\"]\n");
    let site = site.with_menu(
        "default",
        "LABEL a\nLINUX a\nAPPEND mac=${net0/mac} ip=${ip}\n",
    );
    site.tree
        .insert_file("other/default", "${net0/mac}")
        .expect("free");
    for last in [30, 31] {
        site.meet(last, ClientArch::X86_BIOS);
        let expected = format!("mac=52:54:00:00:00:{last:02x} ip=192.168.150.{last}");
        for path in [
            "/pxelinux.cfg/default",
            "/bios/pxelinux.cfg/default",
            "/grub/grub.cfg",
        ] {
            let menu = site.tftp(last, path).await.expect("filled in");
            assert!(menu.contains(&expected), "{menu}");
        }
        assert!(
            site.http(last, "/pxelinux.cfg/default")
                .await
                .expect("filled in")
                .contains(&expected)
        );
    }
    assert_eq!(
        site.tftp(30, "other/default").await.expect("no template"),
        "${net0/mac}"
    );
    let open = async |last| {
        site.open(Protocol::Http, last, "/pxelinux.cfg/default")
            .await
    };
    let (one, other) = (
        open(30).await.expect("there"),
        open(31).await.expect("there"),
    );
    assert_ne!(
        one.attributes().change,
        other.attributes().change,
        "no tag of another's"
    );
}

#[tokio::test]
async fn variables_of_grub_and_ipxe_stay_their_own() {
    let site = Site::new("[menu]\ntemplates = [\"*.cfg\", \"*.ipxe\"]\n");
    let menu = "menuentry x {\n linux ${root}/linux mac=#{mac}\n}\n";
    site.tree.insert_file("grub/grub.cfg", menu).expect("free");
    site.tree
        .insert_file("x.ipxe", "#!ipxe\necho ${ip} #{ip}\n")
        .expect("free");
    site.meet(30, ClientArch::UEFI_X64);
    let menu = site.tftp(30, "grub/grub.cfg").await.expect("filled in");
    assert!(
        menu.contains("${root}/linux mac=52:54:00:00:00:1e"),
        "{menu}"
    );
    let script = site.tftp(30, "x.ipxe").await.expect("filled in");
    assert_eq!(script, "#!ipxe\necho ${ip} 192.168.150.30\n");
}

#[tokio::test]
async fn a_template_with_a_fault_is_refused_and_told_of() {
    let site = Site::new("[menu]\ntemplates = \"pxelinux.cfg/*\"\n");
    let site = site.with_menu("default", "LABEL a\nAPPEND ${net7/mac}\n");
    for path in ["/pxelinux.cfg/default", "/grub/grub.cfg"] {
        let error = site.tftp(30, path).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Io);
        let facts = site.facts(30);
        let told = facts.last().expect("told");
        assert!(matches!(
            told.what,
            What::Note {
                name: "template_failed",
                ..
            }
        ));
        let told = told.what.to_string();
        assert!(told.contains("/pxelinux.cfg/default: line 2"), "{told}");
        assert!(
            told.contains("net7/mac") && told.contains("net0/mac"),
            "{told}"
        );
    }
}
