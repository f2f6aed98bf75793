/* Makes one system call as a process of a container would, and prints "ok VALUE" or "errno NUMBER".
   usage: calls [-u UID] [-r CHROOT] [-m UMASK] CALL ARGUMENTS */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static mode_t kind(const char *word) { return *word == 'c' ? S_IFCHR : *word == 'b' ? S_IFBLK : S_IFIFO; }

static long bpf(int command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

/* A program that allows every device, loaded and attached to a control group. */
static long devices(const char *group) {
    struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attr = {0};
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = 2;
    attr.insns = (unsigned long)code;
    attr.license = (unsigned long)"GPL";
    long program = bpf(BPF_PROG_LOAD, &attr);
    if (program < 0) return program;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = open(group, O_RDONLY | O_DIRECTORY);
    attr.attach_bpf_fd = program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    long attached = bpf(BPF_PROG_ATTACH, &attr);
    if (attached < 0) return attached;
    attr.attach_flags = 0;
    return bpf(BPF_PROG_DETACH, &attr);
}

int main(int argc, char **argv) {
    int option;
    long result = -1;
    while ((option = getopt(argc, argv, "+u:r:m:")) != -1) {
        if (option == 'm') umask(strtol(optarg, 0, 8));
        if (option == 'r' && (chroot(optarg) || chdir("/"))) return perror("chroot"), 2;
        if (option == 'u' && (setgroups(0, 0) || setgid(atoi(optarg)) || setuid(atoi(optarg)))) return perror("setuid"), 2;
    }
    char **a = argv + optind;
    int n = argc - optind;
    if (n < 1) return 2;
    if (!strcmp(a[0], "mknod") && n == 6)
        result = syscall(SYS_mknod, a[1], kind(a[2]) | strtol(a[5], 0, 8), makedev(atoi(a[3]), atoi(a[4])));
    else if (!strcmp(a[0], "mknodat") && n == 7)
        result = syscall(SYS_mknodat, open(a[1], O_RDONLY | O_DIRECTORY), a[2], kind(a[3]) | strtol(a[6], 0, 8),
                         makedev(atoi(a[4]), atoi(a[5])));
    else if (!strcmp(a[0], "wrong"))
        result = syscall(SYS_mknod, (void *)1, S_IFCHR | 0600, makedev(1, 3));
    else if (!strcmp(a[0], "endless")) {
        char *end = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(end + 4096, 4096);
        memset(end, 'a', 4096);
        result = syscall(SYS_mknod, end + 4000, S_IFCHR | 0600, makedev(1, 3));
    } else if (!strcmp(a[0], "setxattr") && n == 4)
        result = syscall(SYS_setxattr, a[1], a[2], a[3], strlen(a[3]), 0);
    else if (!strcmp(a[0], "mount") && n == 6)
        result = mount(a[1], a[2], a[3], strtoul(a[4], 0, 0), a[5]);
    else if (!strcmp(a[0], "devices") && n == 2)
        result = devices(a[1]);
    else if (!strcmp(a[0], "loop") && n == 3) { /* makes and removes a node so many times */
        for (int i = 0; i < atoi(a[2]); i++) {
            result = syscall(SYS_mknod, a[1], S_IFCHR | 0600, makedev(1, 3));
            if (result < 0 || unlink(a[1])) break;
        }
    } else
        return 2;
    if (result < 0) printf("errno %d\n", errno);
    else printf("ok %ld\n", result);
    return 0;
}
