export * from './placement.js';
export * from './placement-request.js';
export type { ClassShortage, PlacementRefusal } from './refusal.js';
