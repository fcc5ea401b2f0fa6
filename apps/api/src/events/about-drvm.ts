import type { NewEvent } from './events.service.js';

/** The part of an event that says which DRVM it is about, and whose that is. */
export function aboutDrvm(drvm: {
  id: string;
  name: string;
  tenantId: string;
  tenant: { name: string };
}): Pick<NewEvent, 'tenantId' | 'tenant' | 'drvmId' | 'drvm'> {
  return { tenantId: drvm.tenantId, tenant: drvm.tenant.name, drvmId: drvm.id, drvm: drvm.name };
}
