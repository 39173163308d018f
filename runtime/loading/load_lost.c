/* SPDX-License-Identifier: MIT
 *
 * A loader whose thread has been given up, away in a file that does not come back: what it was at is noted, so that the
 * file's version is at fault and not run again, and the loader is fit for another thread. */
#include "loading/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBJECT_SIZE = 512 };

void load_now_begin(struct load_run *run, const struct load_now *now) {
  static const char *const notes[] = {[LOAD_COPY] = " (its last good version)", [LOAD_CANDIDATE] = " (to be put)"};
  char subject[SUBJECT_SIZE];
  const char *note = now->kind < sizeof notes / sizeof notes[0] ? notes[now->kind] : NULL;
  run->loader->now = *now;
  snprintf(subject, sizeof subject, "%s%s", now->path, note ? note : "");
  blocking_enter(run->blocking, subject);
}

void load_now_end(struct load_run *run) { run->loader->now = (struct load_now){.kind = LOAD_NOTHING}; }

void load_now_store(struct loader *loader, const char *file) {
  char subject[SUBJECT_SIZE];
  loader->now = (struct load_now){.kind = LOAD_STORE};
  snprintf(subject, sizeof subject, "%s (writing its last good version)", file);
  blocking_enter(loader->blocking, subject);
}

int load_mark_away(struct load_run *run, const struct load_mark_text *text) {
  struct load_mark *mark = run->loader->mark;
  if (!mark)
    return 0;
  load_now_begin(run, &(struct load_now){.kind = LOAD_MARK, .path = "`loading` under `state` (marking what is run)"});
  load_mark_ref(mark); /* who is lost in it may be back when the loader has gone */
  blocking_begin(run->blocking);
  load_mark_set(mark, text);
  bool kept = blocking_end(run->blocking);
  load_mark_unref(mark);
  if (!kept)
    return -ECANCELED;
  load_now_end(run);
  return 0;
}

void loader_unmark(struct loader *loader) {
  load_mark_away(&(struct load_run){.loader = loader, .blocking = loader->blocking}, NULL);
}

struct blocking *loader_turn_from(struct loader *loader, const char *subject) {
  loader->now = (struct load_now){.kind = LOAD_OTHER};
  blocking_enter(loader->blocking, subject);
  return loader->blocking;
}

static bool copy_modules(struct module_list *to, const struct module_list *from) {
  for (size_t i = 0; i < from->count; i++)
    if (module_list_add_again(to, from->modules[i]) < 0)
      return false;
  return true;
}

/* As if it had failed. Without memory the version is run again. */
static void remember_file(struct file_memory *memory, const struct load_now *now, const char *message,
                          struct blocking *blocking) {
  struct file_failure *failure = &memory->failure;
  file_failure_clear(failure);
  failure->lost = blocking_ref(blocking);
  if (!now->source)
    return;
  if (!copy_modules(&failure->modules, now->modules) ||
      fault_list_add(&failure->faults, now->path, 0, NULL, NULL, message) < 0)
    return;
  failure->is_known = true;
  failure->size = now->source->size;
  failure->hash = text_hash(now->source->text, now->source->size, 0);
  failure->key = now->key;
}

/* Without memory it is run again. */
static void remember_config(struct config_loss *loss, const struct source *source, const char *message,
                            struct blocking *blocking) {
  blocking_unref(loss->lost);
  free(loss->message);
  *loss = (struct config_loss){.lost = blocking_ref(blocking)};
  if (!source)
    return;
  loss->message = strdup(message);
  loss->stamp = source->stamp;
  loss->hash = text_hash(source->text, source->size, 0);
}

enum loader_loss loader_give_up(struct loader *loader, const char *message) {
  const struct load_now now = loader->now;
  struct file_memory *memory = now.file ? memory_find(&loader->memory, now.file) : NULL;
  struct blocking *blocking = loader->blocking;
  loader->now = (struct load_now){.kind = LOAD_NOTHING};
  loader->blocking = NULL; /* the next user's is another */
  if (memory && now.kind == LOAD_ROUTES)
    remember_file(memory, &now, message, blocking);
  else if (memory && now.kind == LOAD_COPY)
    memory->copy_is_lost = true;
  switch (now.kind) {
  case LOAD_CANDIDATE:
    return LOSS_CANDIDATE;
  case LOAD_CONFIG:
    remember_config(&loader->config_loss, now.source, message, blocking);
    return LOSS_CONFIG;
  case LOAD_STORE:
    blocking_unref(loader->store_lost);
    loader->store_lost = blocking_ref(blocking);
    return LOSS_STORE;
  case LOAD_LIST:
    blocking_unref(loader->list_lost);
    loader->list_lost = blocking_ref(blocking);
    return LOSS_FILE;
  case LOAD_MARK:
    load_mark_abandon(loader->mark);
    return LOSS_FILE;
  case LOAD_OTHER:
    return LOSS_OTHER;
  default:
    return LOSS_FILE;
  }
}
