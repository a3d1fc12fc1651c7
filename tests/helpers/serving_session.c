/* Loads a SavedModel as a server does, without Python, and draws from it.

     serving_session FOLDER INPUT OUTPUT INDEX COUNT

   feeds the seeds 0 .. COUNT-1 to the operation INPUT, fetches output INDEX of the operation
   OUTPUT and prints its numbers, one a line. With a negative COUNT it feeds the seed -1. What
   TensorFlow refuses is printed to standard error, with exit status 1. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tensorflow/c/c_api.h>

static void require_ok(TF_Status *status) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%d %s\n", TF_GetCode(status), TF_Message(status));
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const char *tags[] = {"serve"};
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph,
                                                     NULL, status);
  require_ok(status);

  int64_t asked = atoll(argv[5]);
  int64_t count = asked < 0 ? 1 : asked;
  TF_Tensor *seeds = TF_AllocateTensor(TF_INT64, &count, 1, count * sizeof(int64_t));
  int64_t *values = TF_TensorData(seeds);
  for (int64_t i = 0; i < count; i++) values[i] = asked < 0 ? -1 : i;

  TF_Output input = {TF_GraphOperationByName(graph, argv[2]), 0};
  TF_Output output = {TF_GraphOperationByName(graph, argv[3]), atoi(argv[4])};
  TF_Tensor *answer = NULL;
  TF_SessionRun(session, NULL, &input, &seeds, 1, &output, &answer, 1, NULL, 0, NULL, status);
  require_ok(status);
  const float *numbers = TF_TensorData(answer);
  for (int64_t i = 0; i < TF_TensorElementCount(answer); i++) printf("%.9g\n", numbers[i]);
  return 0;
}
