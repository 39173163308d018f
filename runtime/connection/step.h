/* SPDX-License-Identifier: MIT
 *
 * What a step of the corridor says when it is run. */
#pragma once

enum step_result {
  STEP_DONE,    /* on to the next */
  STEP_WAIT,    /* connection_resume() goes on with this step */
  STEP_REFUSED, /* the step has closed the connection */
};
