/* SPDX-License-Identifier: MIT
 *
 * What holds between files: which of two that name a route alike stands back, which routes are in each other's way; and
 * what is served for a file that stands back. */
#include "loading/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Who goes first: what is live, what stands in for another, what is new, and last what is new and names a route as
 * another file did: the name stays where it was, unless it was given up there. */
enum turn { TURN_SAME, TURN_STAND_IN, TURN_NEW, TURN_TAKING, TURN_COUNT };

static enum turn turn_of(const struct loaded_file *file, bool takes) {
  if (file->same)
    return TURN_SAME;
  return !file->ok ? TURN_STAND_IN : takes ? TURN_TAKING : TURN_NEW;
}

/* Enters the file's names; when one is there already it stands back. 1 then, 0 else, or a negative errno. */
static int admit_routes(struct load_run *run, struct loaded_file *file) {
  struct fault_list faults = {0}, unused = {0};
  int status = schema_index_admit(run->loader, file->good->schema_id, file->path, &faults, &unused);
  if (status == 0 && faults.count > 0) {
    struct file_version *kept = file_version_ref(file->good);
    struct source failed = {.text = kept->text, .size = kept->size};
    status = fault_list_append(&run->loaded->faults, &faults);
    if (status == 0)
      status = load_stand_in(run, file, &failed);
    file_version_unref(kept);
    status = status < 0 ? status : 1;
  }
  fault_list_clear(&faults);
  fault_list_clear(&unused);
  return status;
}

/* Looks for names that stand twice; the file that comes later stands back. The number of those, or a negative errno. */
static int admit_in_turns(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  bool *takes = calloc(loaded->file_count + 1, sizeof *takes);
  int back = 0, status = takes ? load_mark_takers(run, takes) : -ENOMEM;
  if (status == 0)
    status = schema_index_begin(run->loader);
  for (enum turn turn = TURN_SAME; turn < TURN_COUNT; turn++) {
    for (size_t i = 0; i < loaded->file_count && status >= 0; i++) {
      struct loaded_file *file = &loaded->files[i];
      if (!file->good || turn_of(file, takes[i]) != turn)
        continue;
      status = admit_routes(run, file);
      back += status > 0;
    }
  }
  free(takes);
  return status < 0 ? status : back;
}

/* Adds those that are not there; none when the file's are those that the last load told. */
static int add_warnings(struct load_run *run, const struct loaded_file *file, const struct fault_index *run_faults,
                        const struct fault_list *warnings, struct fault_list *added) {
  struct file_memory *memory = memory_find(&run->loader->memory, file->file);
  uint64_t sum = 0;
  int status = 0;
  for (size_t i = 0; i < warnings->count; i++)
    sum = text_hash(warnings->faults[i].message, strlen(warnings->faults[i].message), sum + 1);
  bool old = file->same && memory && memory->warning_sum == sum;
  if (memory) {
    memory->warning_sum = sum;
    fault_list_clear(&memory->between);
    status = fault_list_append(&memory->between, warnings);
  }
  for (size_t i = 0; i < warnings->count && !old && status == 0; i++) {
    const struct fault *fault = &warnings->faults[i];
    if (!fault_index_has(run_faults, fault, true))
      status = fault_list_add(added, fault->file, fault->line, fault->route, fault->field, fault->message);
  }
  return status;
}

/* In file order: which routes are never reached. */
static int warn_in_order(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  struct fault_list added = {0};
  struct fault_index *run_faults = fault_index_by_content(&loaded->warnings); /* when the files were run */
  int status = run_faults ? schema_index_begin(run->loader) : -ENOMEM;
  for (size_t i = 0; i < loaded->file_count && status == 0; i++) {
    struct loaded_file *file = &loaded->files[i];
    struct fault_list faults = {0}, warnings = {0};
    if (!file->good)
      continue;
    status = schema_index_admit(run->loader, file->good->schema_id, file->path, &faults, &warnings);
    if (status == 0)
      status = add_warnings(run, file, run_faults, &warnings, &added);
    fault_list_clear(&faults);
    fault_list_clear(&warnings);
  }
  fault_index_free(run_faults);
  if (status == 0)
    status = fault_list_append(&loaded->warnings, &added);
  fault_list_clear(&added);
  return status;
}

static void forget_warnings(struct memory *memory) {
  for (size_t i = 0; i < memory->count; i++)
    fault_list_clear(&memory->files[i].between);
}

static bool is_as_committed(const struct loaded_routes *loaded) {
  for (size_t i = 0; i < loaded->file_count; i++)
    if (loaded->files[i].good && !loaded->files[i].same)
      return false;
  return true;
}

int load_resolve_conflicts(struct load_run *run) {
  int back = load_tell_taken_names(run);
  if (back < 0 || is_as_committed(run->loaded))
    return back;
  do
    back = load_names_may_clash(run) ? admit_in_turns(run) : 0;
  while (back > 0);
  if (back < 0)
    return back;
  forget_warnings(&run->loader->memory);
  return load_matches_may_clash(run) ? warn_in_order(run) : 0;
}

/* The copy under `state`, when it helps. What is wrong with it is told too. 0 or -ENOMEM. */
static int load_copy(struct load_run *run, struct loaded_file *file, const struct source *failed,
                     struct file_version **good) {
  struct source copy = {.path = file->path};
  struct module_list modules = {0};
  struct fault_list faults = {0}, warnings = {0};
  struct error error = {0};
  const char *state = run->config->state;
  int status = 0;
  if (memory_find(&run->loader->memory, file->file)->copy_is_lost) {
    status = error_set(&error, EIO, "loading it did not come back either");
  } else {
    load_now_begin(run, &(struct load_now){LOAD_COPY, file->file, file->path, NULL, 0, NULL});
    status = last_good_read(run, file->file, &copy.text, &copy.size, &modules, &error);
    if (status != -ECANCELED)
      load_now_end(run);
  }
  if (status == -ENOENT || status == -ECANCELED)
    return status == -ENOENT ? 0 : status;
  int same = status == 0 && failed && failed->size == copy.size && copy.text &&
             memcmp(failed->text, copy.text, copy.size) == 0;
  if (same)
    same = load_modules_are_same(run, LOAD_COPY, file, &modules);
  status = same < 0 ? same : status;
  run->kind = LOAD_COPY;
  if (status == 0 && !same)
    status = load_file(run, file->file, &copy, run->workers, &modules, good, NULL, &faults, &warnings);
  run->kind = LOAD_ROUTES;
  if (status < 0 && status != -ECANCELED) {
    char what[512];
    if (faults.count > 0)
      fault_format(&faults.faults[0], what, sizeof what);
    char *path = last_good_path(state, file->file);
    error_set(&error, EINVAL, "and its last good version (%.200s) can't be served either: %s", path ? path : file->file,
              faults.count > 0 ? what : error.message);
    free(path);
    status = fault_list_add(&run->loaded->faults, file->path, 0, NULL, NULL, error.message);
  }
  fault_list_clear(&faults);
  fault_list_clear(&warnings);
  module_list_clear(&modules);
  free(copy.text);
  return status;
}

int load_stand_in(struct load_run *run, struct loaded_file *file, const struct source *source) {
  struct file_memory *memory = memory_find(&run->loader->memory, file->file);
  const struct exclusion *exclusion = memory_exclusion(&run->loader->memory, file->file);
  struct file_version *committed = memory ? memory->committed : NULL, *copy = NULL;
  bool was_last_good = file->stands_in == FILE_LAST_GOOD, was_live = committed && file->good == committed;
  file->ok = file->same = false;
  file->stands_in = FILE_NOTHING;
  loaded_file_serve(file, NULL);
  if (exclusion && exclusion->times > 1)
    return 0;
  if (committed && !was_live) {
    file->stands_in = committed->is_copy ? FILE_LAST_GOOD : FILE_LIVE;
    file->same = true;
    loaded_file_serve(file, file_version_ref(committed));
    return 0;
  }
  if (committed || was_last_good || run->workers == 0 || !run->config->state)
    return 0;
  int status = load_copy(run, file, source, &copy);
  if (copy) {
    copy->number = 1;
    if (copy->version)
      copy->version->number = 1;
    copy->stored = copy->is_copy = true;
    file->stands_in = FILE_LAST_GOOD;
    loaded_file_serve(file, copy);
  }
  return status;
}

/* Those that are not there yet, `seen` by the hashes of their paths. 0 or -ENOMEM. */
static int add_module_files(struct loaded_routes *loaded, struct hash_set *seen, size_t room,
                            const struct module_list *modules) {
  for (size_t i = 0; i < modules->count; i++) {
    const char *path = modules->modules[i]->path;
    uint64_t hash = text_hash(path, strlen(path), 0) | 1;
    if (hash_set_has_any(seen, &hash, 1) || loaded->module_file_count == room)
      continue;
    hash_set_enter(seen, &hash, 1);
    if (!(loaded->module_files[loaded->module_file_count] = strdup(path)))
      return -ENOMEM;
    loaded->module_file_count++;
  }
  return 0;
}

int load_list_modules(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  const struct memory *memory = &run->loader->memory;
  struct hash_set seen;
  size_t room = 0;
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct file_memory *known = memory_find(memory, loaded->files[i].file);
    room += loaded->files[i].good ? loaded->files[i].good->modules.count : 0;
    room += known ? known->failure.modules.count : 0;
  }
  loaded->module_files = calloc(room + 1, sizeof(char *));
  int status = hash_set_init(&seen, room);
  if (!loaded->module_files)
    status = -ENOMEM;
  for (size_t i = 0; i < loaded->file_count && status == 0; i++) {
    const struct loaded_file *file = &loaded->files[i];
    const struct file_memory *known = memory_find(memory, file->file);
    if (file->good)
      status = add_module_files(loaded, &seen, room, &file->good->modules);
    if (status == 0 && known)
      status = add_module_files(loaded, &seen, room, &known->failure.modules);
  }
  hash_set_deinit(&seen);
  return status;
}
