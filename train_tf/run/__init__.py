"""One training, from its config to its SavedModel, whatever the model.

`training.train` is called by `unet_tf.train` and `cvae_tf.train`. Its steps, numbered
as in docs/architecture.md:

1. Choose devices: `cluster.join` chooses the devices and connects to the other workers,
   if there are any; `devices.set_up` sets precision and seed;
   `resumable_run.check_run_folder` raises if the run folder cannot be used.
2. Load data: `Task(config)` resolves the config's defaults and loads the data.
3. Build: `Task.build` builds and compiles the model; `devices.require_training_memory`
   raises if a training step does not fit into memory.
4. Open the run: `resumable_run.Run` creates or resumes the run folder, and locks it.
5. Fit: `fit.fit` trains, saves a checkpoint per epoch, and calls the callbacks of
   `callbacks`.
6. Report: `Run.load_best` loads the best epoch, which is saved as model.keras;
   `report.draw_curves` draws the curves; `Task.results` computes the metrics of the
   test images.
7. Export: `Task.export` writes the SavedModel; `Run.write_results` writes results.json.
"""
