import { DrvsError } from '@drvs/contracts';

/** The slice whose container runs the DRVM's servers (PM, VFS, TTY) and answers for the whole DRVM. */
export function homeSliceOf<S extends { index: number }>(drvm: {
  name: string;
  homeIndex: number;
  slices: readonly S[];
}): S {
  const home = drvm.slices.find(({ index }) => index === drvm.homeIndex);
  if (home) return home;
  throw new DrvsError('StateConflict', `the DRVM ${drvm.name} has no home slice`, {
    hint: `Its home was lost; see \`drvs events\`, then rebuild it or restore a snapshot of it.`,
  });
}
