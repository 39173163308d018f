/* SPDX-License-Identifier: MIT
 *
 * What questions with a page have in common. */
#include "reports/listing.h"

#include <errno.h>
#include <stdlib.h>

void *listing_new(size_t size, const struct record_type *type, const struct value *arguments,
                  struct native_call *call) {
  struct error error;
  void *question = calloc(1, size);
  int status = question ? selection_query_init(question, type, arguments, &error) : -ENOMEM;
  if (status == 0)
    return question;
  ask_refuse(call, status == -ENOMEM ? 500 : 400, question ? error.message : "no memory for the question");
  if (question)
    listing_free(question);
  return NULL;
}

void listing_free(void *question) {
  selection_query_deinit(question);
  free(question);
}

void listing_clear(void *answer) { selection_clear(answer); }

bool listing_concerns(const void *question, unsigned worker) { return selection_query_concerns(question, worker); }

void **listing_page(struct ask *ask, struct value *root, size_t *count) {
  struct selection **selections = calloc(ask->count + 1, sizeof *selections);
  size_t total = 0, parts = 0;
  bool complete = ask_is_complete(ask);
  *count = 0;
  for (size_t i = 0; selections && i < ask->count; i++) {
    struct selection *selection = ask->parts[i].answer;
    if (ask->parts[i].away)
      continue;
    total += selection->matched;
    complete = complete && !selection->failed;
    selections[parts++] = selection;
  }
  void **page = selections ? selections_merge(selections, parts, ask->question, count) : NULL;
  free(selections);
  value_set_number(root, "total", (double)total);
  value_set_boolean(root, "complete", complete && page);
  return page;
}
