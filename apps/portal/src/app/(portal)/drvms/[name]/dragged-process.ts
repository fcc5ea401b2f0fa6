/** The type under which a row of the process table says its pid to where it is dropped. */
export const DRAGGED_PROCESS = 'application/x-drvs-pid';
