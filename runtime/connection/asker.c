/* SPDX-License-Identifier: MIT
 *
 * Asking: a function may have answered before the call returns, or have its asker cancelled. */
#include "connection/asker.h"

#include "connection/worker.h"

#include <stdlib.h>

/* What stands in asker->answer while the function is being begun, and for an answer that there was no memory for. */
static const struct function_answer marks[2];

static struct function_answer *being_asked(void) { return (struct function_answer *)(uintptr_t)&marks[0]; }
static struct function_answer *lost_answer(void) { return (struct function_answer *)(uintptr_t)&marks[1]; }

enum asker_result asker_ask(struct asker *asker, int slot, struct function_answer *answer) {
  if (!asker->answer) {
    asker->answer = being_asked();
    int status = asker->ops->worker(asker)->hooks->function_call(asker, slot);
    if (!asker->answer)
      return ASKER_CANCELLED;
    if (asker->answer == being_asked()) {
      asker->answer = NULL;
      return status == 0 ? ASKER_WAITS : ASKER_FAILED;
    }
  }
  struct function_answer *given = asker->answer;
  asker->answer = NULL;
  if (given == lost_answer())
    return ASKER_FAILED;
  *answer = *given;
  free(given);
  return ASKER_ANSWERED;
}

void asker_answered(struct asker *asker, struct function_answer *answer) {
  bool at_once = asker->answer == being_asked();
  asker->answer = answer ? answer : lost_answer();
  if (!at_once)
    asker->ops->answered(asker);
}

void asker_cancel(struct asker *asker) {
  if (asker->script)
    asker->ops->worker(asker)->hooks->cancel(asker);
  struct function_answer *dropped = asker->answer;
  asker->answer = NULL;
  if (!dropped || dropped == being_asked() || dropped == lost_answer())
    return;
  free(dropped->string);
  free(dropped);
}
