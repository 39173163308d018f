/* SPDX-License-Identifier: MIT
 *
 * Writing and removing a route file, on the loader thread: a disk may take its time, or not answer at all. Then the
 * thread is left behind like one that is lost in a file, and the directory is left alone until it has come back. */
#include "reload/files_private.h"

#include "core/text_file.h"
#include "instance/instance.h"
#include "reload/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, SUBJECT_SIZE = 512, FILE_MODE = 0666 /* what the umask leaves of it */ };

struct file_change {
  struct loading_job job;
  struct list_node node; /* in instance->changes, while somebody waits */
  struct instance *instance;
  struct native_call *call; /* NULL: it has been answered */
  struct loader *loader;
  struct blocking *blocking; /* of the thread that does it; a reference */
  char *directory;
  char *text; /* NULL: it is removed */
  size_t size;
  bool is_new;     /* there was none before */
  bool is_foreign; /* it is another user's, who keeps it */
  bool is_moving;  /* lost from then on it may be done all the same, or not */
  int status;
  char name[ROUTE_FILE_NAME_LONGEST + 1];
};

static struct file_change *change_of(struct loading_job *job) {
  return (struct file_change *)(void *)((char *)job - offsetof(struct file_change, job));
}

static void drop_change(struct loading_job *job) {
  struct file_change *change = change_of(job);
  blocking_unref(change->blocking);
  free(change->directory);
  free(change->text);
  free(change);
}

static void answer_change(struct file_change *change, struct value *answer) {
  struct native_call *call = change->call;
  list_remove(&change->node);
  change->call = NULL;
  native_call_answer(call, answer);
}

static void turn_from_loader(struct file_change *change) {
  char subject[SUBJECT_SIZE];
  snprintf(subject, sizeof subject, "%s/%s (%s it)", change->directory, change->name,
           change->text ? "writing" : "removing");
  struct blocking *blocking = loader_turn_from(change->loader, subject);
  change->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(change->blocking);
}

/* A crash leaves the old file or the new one. Who is given up before the new one has its place never gives it that:
 * somebody has been told so. */
static void run_write(struct loading_job *job) {
  struct file_change *change = change_of(job);
  const struct text_piece piece = {.bytes = change->text, .size = change->size};
  turn_from_loader(change);
  int directory = open(change->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int status = directory < 0 ? -errno : text_file_write_aside(directory, change->name, &piece, 1, FILE_MODE);
  bool is_new = status == 0 && faccessat(directory, change->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
  if (status == 0 && !blocking_end(change->blocking)) {
    text_file_remove_aside(directory, change->name);
  } else if (status == 0) {
    change->is_moving = true;
    blocking_begin(change->blocking);
    status = text_file_put_in_place(directory, change->name);
  }
  if (directory >= 0)
    close(directory);
  blocking_end(change->blocking);
  change->is_new = is_new;
  change->is_foreign = status == -EPERM;
  change->status = status;
}

/* Whoever may write the directory may remove what others have made in it. 0 or a negative errno. */
static int remove_within(int directory, const char *name, bool *is_foreign) {
  struct stat entry;
  *is_foreign =
      geteuid() != 0 && fstatat(directory, name, &entry, AT_SYMLINK_NOFOLLOW) == 0 && entry.st_uid != geteuid();
  if (*is_foreign)
    return -EPERM;
  if (unlinkat(directory, name, 0) < 0)
    return -errno;
  fsync(directory); /* it is gone either way */
  return 0;
}

static void run_remove(struct loading_job *job) {
  struct file_change *change = change_of(job);
  bool is_foreign = false;
  change->is_moving = true;
  turn_from_loader(change);
  int directory = open(change->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int status = directory < 0 ? -errno : remove_within(directory, change->name, &is_foreign);
  if (directory >= 0)
    close(directory);
  blocking_end(change->blocking);
  change->is_foreign = is_foreign;
  change->status = status;
}

/* What the directory, or the file in it, does not let moongate do. */
static struct value *explain_failure(const struct file_change *change) {
  char message[PATH_SIZE + TEXT_FILE_REFUSED_SIZE], refused[TEXT_FILE_REFUSED_SIZE];
  const char *directory = change->directory, *name = change->name;
  int code = -change->status, status = change->is_foreign ? 409 : code == ENOENT && !change->text ? 404 : 500;
  if (change->is_foreign)
    snprintf(message, sizeof message,
             "%.3500s/%s is another user's, and %s: chown it, or %s it there; nothing has changed", directory, name,
             change->text ? "would be moongate's if it were replaced" : "is not moongate's to remove",
             change->text ? "write" : "remove");
  else if (status == 404)
    snprintf(message, sizeof message, "%.3500s/%s: %s", directory, name, strerror(code));
  else if (code == EACCES)
    snprintf(message, sizeof message, "%.3500s %s; nothing has changed", directory, text_file_unwritable(refused));
  else
    snprintf(message, sizeof message, "%.3500s/%s can't be %s: %s", directory, name,
             change->text ? "written" : "removed", strerror(code));
  return files_answer(status, change->instance, message);
}

static void on_file_changed(struct loading_job *job) {
  struct file_change *change = change_of(job);
  struct instance *instance = change->instance;
  if (change->call && change->status < 0) {
    answer_change(change, explain_failure(change));
  } else if (change->call) {
    list_remove(&change->node);
    instance_reload_file(instance, change->name, change->is_new ? 201 : 200, change->call);
  }
  drop_change(job);
}

static struct value *explain_silence(const struct instance *instance, const char *directory, const char *what) {
  char message[PATH_SIZE + 256];
  snprintf(message, sizeof message, "the disk of %.3500s does not answer: %s", directory, what);
  return files_answer(503, instance, message);
}

static void on_change_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  struct file_change *change = change_of(job);
  struct instance *instance = change->instance;
  (void)loss, (void)message;
  blocking_unref(instance->change_lost);
  instance->change_lost = change->blocking ? blocking_ref(change->blocking) : NULL;
  if (change->call)
    answer_change(change, explain_silence(instance, change->directory,
                                          change->is_moving
                                              ? "whether the file has changed shows when it does (limits.load_time)"
                                              : "nothing has changed (limits.load_time)"));
}

static bool on_change_refused(struct loading_job *job, const char *message) {
  struct file_change *change = change_of(job);
  if (change->call)
    answer_change(change, files_answer(503, change->instance, message));
  drop_change(job);
  return true;
}

static void change_file(struct instance *instance, const char *name, char *text, size_t size,
                        struct native_call *call) {
  const char *directory = instance->config.routes;
  if (instance->change_lost && blocking_is_lost(instance->change_lost)) {
    free(text);
    native_call_answer(call,
                       explain_silence(instance, directory, "what was to change before waits; nothing has changed"));
    return;
  }
  struct file_change *change = calloc(1, sizeof *change);
  if (!change || !(change->directory = strdup(directory))) {
    free(change);
    free(text);
    native_call_answer(call, files_answer(500, instance, "no memory"));
    return;
  }
  change->job = (struct loading_job){
      .run = text ? run_write : run_remove,
      .on_done = on_file_changed,
      .on_lost = on_change_lost,
      .on_refused = on_change_refused,
      .drop = drop_change,
  };
  change->instance = instance;
  change->loader = instance->loader;
  change->call = call;
  change->text = text;
  change->size = size;
  snprintf(change->name, sizeof change->name, "%s", name);
  list_add_tail(&instance->changes, &change->node);
  loading_post(&instance->loading, &change->job);
}

void files_write(struct instance *instance, const char *name, char *text, size_t size, struct native_call *call) {
  change_file(instance, name, text, size, call);
}

void files_remove(struct instance *instance, const char *name, struct native_call *call) {
  change_file(instance, name, NULL, 0, call);
}

void files_change_stop(struct instance *instance) {
  LIST_FOREACH(node, &instance->changes) {
    struct file_change *change = LIST_OWNER(node, struct file_change, node);
    answer_change(change, files_answer(409, instance, "moongate is stopping"));
  }
}
