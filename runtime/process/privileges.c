/* SPDX-License-Identifier: MIT
 *
 * Users, groups and capabilities (libcap). libc changes the ids of all threads, capabilities are each thread's own. */
#include "process/privileges.h"

#include "core/own_file.h"
#include "core/stack.h"
#include "core/text_file.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_SIZE = 16 * 1024 };

/* A number, whole; -1: it is none. */
static long number_of(const char *text) {
  char *end;
  errno = 0;
  long number = strtol(text, &end, 10);
  return *text && !*end && errno == 0 && number >= 0 && number < INT32_MAX ? number : -1;
}

static int find_user(struct account *account, const char *user, struct error *error) {
  char names[NAMES_SIZE];
  struct passwd entry, *found = NULL;
  long number = number_of(user);
  if (number >= 0)
    getpwuid_r((uid_t)number, &entry, names, sizeof names, &found);
  else
    getpwnam_r(user, &entry, names, sizeof names, &found);
  if (!found && number >= 0)
    return error_set(error, ENOENT, "there is no user with the number %ld: name one that there is (getent passwd)",
                     number);
  if (!found)
    return error_set(error, ENOENT, "there is no user \"%s\"; make it: useradd --system --no-create-home %s", user,
                     user);
  snprintf(account->name, sizeof account->name, "%s", entry.pw_name);
  account->uid = entry.pw_uid;
  account->gid = entry.pw_gid;
  return 0;
}

static int find_group_id(struct account *account, const char *group, struct error *error) {
  char names[NAMES_SIZE];
  struct group entry, *found = NULL;
  long number = number_of(group);
  if (number >= 0)
    getgrgid_r((gid_t)number, &entry, names, sizeof names, &found);
  else
    getgrnam_r(group, &entry, names, sizeof names, &found);
  if (!found)
    return error_set(error, ENOENT, "there is no group \"%s\": name one that there is (getent group)", group);
  account->gid = entry.gr_gid;
  return 0;
}

int account_find(struct account *account, const char *user, const char *group, struct error *error) {
  char own[USER_NAME_SIZE];
  *account = (struct account){.is_set = false};
  snprintf(account->name, sizeof account->name, "%s", user_name(geteuid(), own));
  if (!user && !group)
    return 0;
  if (!user)
    return error_set(error, EINVAL, "a group without a user: name the `user` as well");
  int status = find_user(account, user, error);
  if (status == 0 && group)
    status = find_group_id(account, group, error);
  if (status != 0)
    return status;
  if (geteuid() == account->uid && (geteuid() != 0 || getegid() == account->gid))
    return 0;
  if (geteuid() != 0)
    return error_set(error, EPERM,
                     "only root can become the user \"%s\": start moongate as root or as that user, or take `user` out "
                     "of the config",
                     account->name);
  account->is_set = true;
  return 0;
}

static bool find_closed(const char *path, char closed[PATH_MAX]) {
  struct stat entry;
  for (const char *end = strchr(path, '/');; end = strchr(end + 1, '/')) {
    size_t length = end ? (size_t)(end - path) : strlen(path);
    if (snprintf(closed, PATH_MAX, "%.*s/.", (int)length, path) >= PATH_MAX)
      return false;
    if (stat(closed, &entry) != 0 && errno == EACCES) {
      closed[length > 0 ? length : 1] = '\0';
      return true;
    }
    if (!end)
      return false;
  }
}

void account_explain_unread(const struct account *account, struct error *error) {
  error_set(error, EACCES,
            "root can read the config, and the user \"%s\", as whom a reload reads it, can't: give what it opens to a "
            "group of that user (chgrp, chmod g+r), or by an ACL (setfacl -m u:%s:r)",
            account->name, account->name);
}

bool account_find_closed(const struct account *account, const char *path, char closed[PATH_MAX]) {
  int count = getgroups(0, NULL);
  gid_t *groups = calloc((size_t)(count > 0 ? count : 0) + 1, sizeof *groups);
  bool found = false;
  if (groups && count >= 0 && getgroups(count, groups) == count && initgroups(account->name, account->gid) == 0) {
    setfsgid(account->gid);
    setfsuid(account->uid); /* the kernel takes root's rights to files away with it, and gives them back */
    found = find_closed(path, closed);
    setfsuid(geteuid());
    setfsgid(getegid());
    setgroups((size_t)count, groups);
  }
  free(groups);
  return found;
}

/* The thread keeps of `wanted` what it has, and nothing else. */
static int capabilities_keep(const cap_value_t *wanted, int count) {
  cap_t now = cap_get_proc(), next = cap_init();
  int status = now && next ? 0 : -1;
  for (int i = 0; i < count && status == 0; i++) {
    cap_flag_value_t has = CAP_CLEAR;
    if (cap_get_flag(now, wanted[i], CAP_PERMITTED, &has) == 0 && has == CAP_SET)
      status = cap_set_flag(next, CAP_PERMITTED, 1, &wanted[i], CAP_SET) ||
               cap_set_flag(next, CAP_EFFECTIVE, 1, &wanted[i], CAP_SET);
  }
  if (status == 0)
    status = cap_set_proc(next);
  int code = errno;
  cap_free(now);
  cap_free(next);
  return status == 0 ? 0 : -code;
}

static int become(const struct account *account) {
  /* The bounding set too, while we may: no program that is run can bring them back. */
  for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++)
    if (cap != CAP_NET_BIND_SERVICE && cap != CAP_NET_ADMIN)
      cap_drop_bound(cap);
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || initgroups(account->name, account->gid) != 0 ||
      setresgid(account->gid, account->gid, account->gid) != 0 ||
      setresuid(account->uid, account->uid, account->uid) != 0)
    return -errno;
  prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  return 0;
}

int privileges_drop(const struct account *account, bool keep_net_admin, struct error *error) {
  static const cap_value_t wanted[] = {CAP_NET_BIND_SERVICE, CAP_NET_ADMIN};
  if (!account->is_set)
    return 0;
  int status = become(account);
  if (status == 0)
    status = capabilities_keep(wanted, keep_net_admin ? 2 : 1);
  if (status == 0 && account->uid != 0 && setuid(0) == 0)
    status = -EPERM; /* it could be root again */
  if (status != 0)
    return error_set(error, -status, "can't become the user \"%s\": %s", account->name, strerror(-status));
  return 0;
}

/* On the starter's stack, until it is answered. */
struct limited_start {
  void *(*run)(void *argument);
  void *argument;
  bool binds;
  int status;
  sem_t answered;
};

static void *limited_main(void *argument) {
  static const cap_value_t wanted[] = {CAP_NET_BIND_SERVICE};
  struct limited_start *start = argument;
  void *(*run)(void *) = start->run;
  void *own = start->argument;
  int status = start->status = capabilities_keep(wanted, start->binds ? 1 : 0);
  sem_post(&start->answered);
  return status == 0 ? run(own) : NULL;
}

int privileges_start_thread(const struct account *account, bool binds, const char *name, pthread_t *thread,
                            void *(*run)(void *argument), void *argument, struct error *error) {
  struct limited_start start = {.run = run, .argument = argument, .binds = binds};
  bool is_limited = account && account->is_set;
  sem_init(&start.answered, 0, 0);
  int status =
      is_limited ? stack_start_thread(thread, limited_main, &start) : stack_start_thread(thread, run, argument);
  if (status != 0)
    error_set(error, status, "the %s thread can't be started: %s", name, strerror(status));
  while (status == 0 && is_limited && sem_wait(&start.answered) != 0)
    ; /* a signal */
  if (status == 0 && start.status != 0) {
    pthread_join(*thread, NULL);
    status = -start.status;
    error_set(error, status, "the %s thread can't give up its capabilities: %s", name, strerror(status));
  }
  sem_destroy(&start.answered);
  return -status;
}
