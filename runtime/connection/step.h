/* SPDX-License-Identifier: MIT
 *
 * What a step of a corridor says when it is run. */
#pragma once

enum step_result {
  STEP_DONE,    /* on to the next */
  STEP_WAIT,    /* connection_resume() or exchange_resume() goes on with this step */
  STEP_REFUSED, /* the step has refused the connection or exchange, and closed it */
  STEP_GONE,    /* it was closed meanwhile, for a reason of its own */
};
