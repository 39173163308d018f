/* SPDX-License-Identifier: MIT
 *
 * What becomes of one route file of the directory: as committed, as an earlier load has made it, at fault as before, or
 * run anew. How it is run is in load_file.c. */
#include "loading/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Remembers why it failed, and from what. `source` NULL: it could not be read. */
static void remember_failure(struct file_memory *memory, const struct source *source, uint64_t key,
                             struct module_list *modules, const struct fault_list *faults,
                             const struct fault_list *named) {
  struct file_failure *failure = &memory->failure;
  file_failure_clear(failure);
  failure->modules = *modules;
  *modules = (struct module_list){0};
  if (!source || fault_list_append(&failure->faults, faults) < 0 || fault_list_append(&failure->named, named) < 0)
    return;
  failure->is_known = true;
  failure->size = source->size;
  failure->hash = text_hash(source->text, source->size, 0);
  failure->key = key;
}

/* 1, 0, or -ECANCELED. */
static int fails_as_before(struct load_run *run, const struct file_failure *failure, const struct loaded_file *file,
                           const struct source *source, uint64_t key) {
  if (!failure->is_known || failure->key != key || failure->size != source->size ||
      failure->hash != text_hash(source->text, source->size, 0))
    return 0;
  return load_modules_are_same(run, LOAD_ROUTES, file, &failure->modules);
}

void load_keep_fresh(struct file_memory *memory, struct file_version *good) {
  file_version_unref(memory->fresh);
  memory->fresh = file_version_ref(good);
}

/* A version of the file that is new, and is the one to be remembered as such. */
static void take_new(struct file_memory *memory, struct loaded_file *file, struct file_version *good) {
  const struct file_version *before = memory->committed;
  good->number = before ? before->number + 1 : 1;
  if (good->version)
    good->version->number = good->number;
  if (before)
    file_version_share_routes(good, before);
  file_failure_clear(&memory->failure);
  file->ok = true;
  loaded_file_serve(file, good);
}

/* Runs what has changed. 0 or -ENOMEM. */
static int load_changed(struct load_run *run, struct file_memory *memory, struct loaded_file *file,
                        const struct source *source, uint64_t key) {
  struct fault_list *all = &run->loaded->faults, faults = {0}, warnings = {0};
  int status = fails_as_before(run, &memory->failure, file, source, key);
  if (status > 0) {
    status = fault_list_append(all, &memory->failure.faults);
    return status < 0 ? status : load_stand_in(run, file, source);
  }
  if (status < 0)
    return status;
  struct file_version *good = NULL;
  struct module_list tried = {0};
  status = load_file(run, file->file, source, run->workers, NULL, &good, &tried, &faults, &warnings);
  if (status != -ECANCELED && fault_list_append(&run->loaded->warnings, &warnings) < 0)
    status = status == 0 ? -ENOMEM : status;
  if (good) {
    good->warnings = warnings;
    load_keep_fresh(memory, good);
    take_new(memory, file, good);
  } else if (status != -ECANCELED) {
    if (faults.count == 0)
      fault_list_add(&faults, file->path, 0, NULL, NULL, "not enough memory to load it");
    remember_failure(memory, source, key, &tried, &faults, &run->named);
    status = fault_list_append(all, &faults);
    if (status == 0)
      status = load_stand_in(run, file, source);
  }
  if (!good)
    fault_list_clear(&warnings);
  fault_list_clear(&faults);
  return status;
}

/* What an earlier load has made of the same bytes, and another file has kept from going live, or what was made of them
 * before they were put there. 0 or -ENOMEM. */
static int take_fresh(struct load_run *run, struct file_memory *memory, struct loaded_file *file,
                      const struct source *source) {
  memory->fresh->stamp = source->stamp;
  take_new(memory, file, file_version_ref(memory->fresh));
  return fault_list_append(&run->loaded->warnings, &memory->fresh->warnings);
}

static int add_exclusion_fault(struct load_run *run, const struct loaded_file *file,
                               const struct exclusion *exclusion) {
  const struct fault *fault = &exclusion->fault;
  int line = schema_find_line(run->loader, file->good->schema_id, fault->route, fault->field);
  return fault_list_add(&run->loaded->faults, file->path, line, fault->route, fault->field, fault->message);
}

/* Is it taken for one at fault (loader_exclude_file()), however well it is by itself? */
static int exclude(struct load_run *run, struct loaded_file *file, const struct source *source) {
  const struct exclusion *exclusion = memory_exclusion(&run->loader->memory, file->file);
  if (!exclusion)
    return 0;
  int status = add_exclusion_fault(run, file, exclusion);
  file->waits = exclusion->waits;
  return status == 0 ? load_stand_in(run, file, source) : status;
}

/* It has not been run yet, and the disk has not answered since. */
static bool is_lost_in_reading(const struct file_failure *failure) {
  return failure->lost && !failure->is_known && blocking_is_lost(failure->lost);
}

/* 0; -ENOENT: it is gone; -ECANCELED; or another negative errno and `error`. */
static int read_route_file(struct load_run *run, const struct file_memory *memory, const struct loaded_file *file,
                           struct source *source, struct error *error) {
  if (is_lost_in_reading(&memory->failure))
    return error_set(error, EIO, "can't be read: who reads it has had no answer yet");
  load_now_begin(run, &(struct load_now){LOAD_ROUTES, file->file, file->path, NULL, 0, NULL});
  blocking_begin(run->blocking);
  int status = source_read(source, file->path, error);
  bool is_gone = status == -ENOENT && faccessat(AT_FDCWD, file->path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
  if (!blocking_end(run->blocking)) {
    if (status == 0)
      source_clear(source);
    return -ECANCELED;
  }
  load_now_end(run);
  return status == -ENOENT && !is_gone ? -EIO : status;
}

/* What is committed is what is in the directory. */
static void take_committed(struct file_memory *memory, struct loaded_file *file) {
  file_failure_clear(&memory->failure);
  file->ok = file->same = true;
  loaded_file_serve(file, file_version_ref(memory->committed));
}

/* Is the file as committed, as far as can be told without reading it? 1, 0, or -ECANCELED. */
static int is_as_stamped(struct load_run *run, struct file_memory *memory, const struct loaded_file *file,
                         uint64_t key) {
  if (!memory->committed || memory->committed->key != key || !memory->committed->stamp.is_settled ||
      is_lost_in_reading(&memory->failure))
    return 0;
  const struct file_stamp stamp = memory->committed->stamp;
  load_now_begin(run, &(struct load_now){LOAD_ROUTES, file->file, file->path, NULL, 0, NULL});
  blocking_begin(run->blocking);
  bool is_current = file_stamp_is_current(&stamp, file->path);
  if (!blocking_end(run->blocking))
    return -ECANCELED;
  load_now_end(run);
  return is_current ? load_modules_are_same(run, LOAD_ROUTES, file, &memory->committed->modules) : 0;
}

static int take_as_stamped(struct load_run *run, struct file_memory *memory, struct loaded_file *file) {
  const struct source source = {.text = memory->committed->text, .size = memory->committed->size};
  take_committed(memory, file);
  return exclude(run, file, &source);
}

/* What is known of these bytes already, or what comes of running them. 0, -ENOMEM or -ECANCELED. */
static int load_source(struct load_run *run, struct file_memory *memory, struct loaded_file *file,
                       const struct source *source, uint64_t key) {
  int same = load_is_same(run, memory->committed, file, source, key);
  if (same > 0) {
    memory->committed->stamp = source->stamp;
    take_committed(memory, file);
    return 0;
  }
  if (same == 0)
    same = load_is_same(run, memory->fresh, file, source, key);
  if (same < 0)
    return same;
  if (same)
    return take_fresh(run, memory, file, source);
  int inherited = load_inherit(run, memory, file, source, key);
  if (inherited != 0)
    return inherited < 0 ? inherited : 0;
  return load_changed(run, memory, file, source, key);
}

int load_one(struct load_run *run, struct loaded_file *file) {
  struct file_memory *memory = memory_enter(&run->loader->memory, file->file);
  struct source source = {0};
  struct error error;
  if (!memory)
    return -ENOMEM;
  uint64_t key = load_key(run, file->file, file->path);
  int stamped = is_as_stamped(run, memory, file, key);
  if (stamped != 0)
    return stamped < 0 ? stamped : take_as_stamped(run, memory, file);
  int status = read_route_file(run, memory, file, &source, &error);
  if (status == -ENOENT || status == -ECANCELED)
    return status;
  if (status < 0) {
    struct module_list none = {0};
    if (!is_lost_in_reading(&memory->failure))
      remember_failure(memory, NULL, 0, &none, NULL, NULL);
    status = fault_list_add(&run->loaded->faults, file->path, 0, NULL, NULL, error.message);
    return status < 0 ? status : load_stand_in(run, file, NULL);
  }
  status = load_source(run, memory, file, &source, key);
  if (status == 0 && file->ok) /* else who was lost has come back, and the loader's memory is another's */
    status = exclude(run, file, &source);
  source_clear(&source);
  return status;
}
