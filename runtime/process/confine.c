/* SPDX-License-Identifier: MIT
 *
 * The filter of system calls (libseccomp). It names what is refused, not what is allowed: the libraries that we stand
 * on (libc, OpenSSL, c-ares) may use another call tomorrow, and the list is what turns a hold on the process into one
 * on the machine. What is always allowed costs nothing that shows: the kernel keeps a bitmap of it. */
#include "process/privileges.h"

#include "core/log.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>

static const int refused[] = {
    /* other programs: moongate runs none */
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    /* other processes */
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(process_mrelease),
    /* file systems and namespaces */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(fanotify_init),
    /* the kernel itself */
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(bpf),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup), /* what is asked for through it passes no filter */
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(reboot),
    SCMP_SYS(syslog),
    SCMP_SYS(acct),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
};

/* What unshare(2) does, clone(2) does as well. */
static const unsigned namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                      CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

/* The flags of clone3(2) are in memory, which a filter can't read: libc is told that there is none, and takes clone(2).
 * 0 or a negative errno. */
static int refuse_namespaces(scmp_filter_ctx filter) {
  int status = SCMP_SYS(clone3) >= 0 ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : 0;
  for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0] && status == 0; i++)
    status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
  return status;
}

/* 0 or a negative errno. */
static int load_filter(void) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (!filter)
    return -ENOMEM;
  int status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  if (status == 0) /* older kernels would turn on a mitigation that costs every thread, and guards nothing here */
    status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0] && status == 0; i++)
    if (refused[i] >= 0) /* another architecture may not have it */
      status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
  if (status == 0)
    status = refuse_namespaces(filter);
  if (status == 0)
    status = seccomp_load(filter);
  seccomp_release(filter);
  return status;
}

/* LeakSanitizer traces the process at its end. */
static bool is_instrumented(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

void privileges_confine(const struct log *log) {
  int status = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
  if (status == 0 && !is_instrumented())
    status = load_filter();
  if (status != 0)
    LOG(log, LOG_WARN, "the kernel filters no system calls: whoever gets into the process may try all of them",
        LOG_STRING("error", strerror(-status)));
}
